/** Two servers in one folder would not run, and test files run side by side. */
export default { distDir: `.next/${process.pid}` }
