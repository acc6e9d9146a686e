const handle = (request) => globalThis.servedByNext(request)

export { handle as GET, handle as POST }
