/** How often something was at hand, and how often it had to be read. */
export interface Lookups {
  kept: number
  read: number
}
