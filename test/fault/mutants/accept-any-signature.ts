// Every signature is found right.
import { sodium } from '../../../src/verify/sodium.ts'

sodium.crypto_sign_verify_detached = () => true
