export { CursorRead, type CursorReading } from './cursor-read.js'
export { checkedPositionOf } from './given-values.js'
export { estimateOf } from './index-advice.js'
export { bareStatement } from './keyset.js'
