export { CursorRead } from './cursor-read.js'
export { positionGiven, positionOf, positionShown } from './stored-position.js'
