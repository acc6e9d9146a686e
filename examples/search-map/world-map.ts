/** How many squares a map has from west to east. */
const columns = 360

/** The size of a square, in degrees. */
const step = 360 / columns

/** Colours of squares, of few people to many. */
const colours = ['#9fc5e8', '#5b9bd5', '#2e75b6', '#c55a11', '#ff7f0e']

/** A map of squares, coloured by how many people live in their cities. */
export class WorldMap {
  readonly #people = new Map<number, number>()
  count = 0

  add(longitude: number, latitude: number, population: number): void {
    const [x, y] = [Math.floor((longitude + 180) / step), Math.floor((90 - latitude) / step)]
    const square = y * columns + x
    this.#people.set(square, (this.#people.get(square) ?? 0) + population)
    this.count++
  }

  /** One path for each colour keeps the picture small. */
  svg(): string {
    const paths = colours.map(() => '')
    for (const [square, people] of [...this.#people].sort(([one], [other]) => one - other)) {
      const colour = Math.min(colours.length - 1, Math.max(0, Math.floor(Math.log10(people + 1)) - 2))
      paths[colour] += `M${square % columns} ${Math.floor(square / columns)}h1v1h-1z`
    }
    const drawn = paths.map((path, at) => `<path fill="${colours[at]}" d="${path}"/>`).join('\n')
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${columns} ${columns / 2}" role="img">
<title>The cities of the world, drawn from the documents of a search index</title>
<rect width="100%" height="100%" fill="#10202f"/>
${drawn}
</svg>
`
  }
}
