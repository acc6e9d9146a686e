import { dispatchCases } from './dispatch-cases.js'

dispatchCases('postgres')
