import { dispatchCases } from './dispatch-cases.js'

dispatchCases('redis')
