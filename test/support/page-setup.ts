import { buildPage } from '../../scripts/build-page.js'

/** The page of the dashboard is built from its source before the tests that open it. */
export default buildPage
