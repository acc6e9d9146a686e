export { commonRedactor, isSecretName, maxSecretLength, Redactor, redact } from './redact.js'
