/** The package has types for its main file only. */
declare module 'hash-wasm/dist/blake3.umd.min.js' {
  const hashWasm: Pick<typeof import('hash-wasm'), 'createBLAKE3'>
  export default hashWasm
}
