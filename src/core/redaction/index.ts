export { type LearningRedactor, redactorOf } from './own-secrets.js'
export { commonRedactor, isSecretName, maxSecretLength, Redactor, redact } from './redact.js'
