import { commonRedactor, errorMessages, JobRegistry, memoryStorage, Redactor, redact } from 'headgate'
import { describe, expect, it } from 'vitest'
import { growthOf } from '../support/linear.js'

const secret = 'S3cr3t'

/** A text of each form that is known, and what is shown of it. */
const forms: [form: string, text: string, shown: string][] = [
  ['a URL', 'postgres://user:S3cr3t@host/db is wrong', 'postgres://user:***@host/db is wrong'],
  ['a URL without a user', 'redis://:S3cr3t@host', 'redis://:***@host'],
  ['a URL with delimiters in its password', 'postgres://user:s3/c@r:?#S3cr3t@host/db', 'postgres://user:***@host/db'],
  ['a URL with a space in its password', 'postgres://user:a S3cr3t@host/db', 'postgres://user:***@host/db'],
  ['a URL in a URL', 'https://host/?to=postgres://user:S3cr3t@host', 'https://host/?to=postgres://user:***@host'],
  ['two URLs', 'redis://a:S3cr3t@h to POSTGRES://b:S3cr3t@h', 'redis://a:***@h to POSTGRES://b:***@h'],
  ['a key in the place of a user', 'redis://S3cr3t@host', 'redis://***@host'],
  ['a token in the place of a user', 'https://S3cr3t@host/repo', 'https://***@host/repo'],
  ['a connect string of Oracle', 'jdbc:oracle:thin:user/S3cr3t@host', 'jdbc:oracle:thin:user/***@host'],
  ['a parameter', 'jdbc:postgresql://host/db?user=u&password=S3cr3t', 'jdbc:postgresql://host/db?user=u&password=***'],
  ['a parameter with a prefix', 'postgres:///db?sslpassword=S3cr3t', 'postgres:///db?sslpassword=***'],
  ['a pair', 'host=h password=S3cr3t dbname=d', 'host=h password=*** dbname=d'],
  ...[',', ';', '&', '}', ')'].map((sign): [string, string, string] => [
    `a pair with ${sign} in its value`,
    `password=a${sign}S3cr3t dbname=d`,
    'password=*** dbname=d',
  ]),
  ['a pair in quotes', "host=x password='S3cr3t x' user=y", 'host=x password=*** user=y'],
  ['a pair with a quote in quotes', "password='a\\' S3cr3t' user=y", 'password=*** user=y'],
  ['a pair with a doubled quote', "password='a'' S3cr3t' user=y", 'password=*** user=y'],
  ['a quote that is not closed', "password='a S3cr3t", 'password=***'],
  ['a value on the next line', 'password=\nS3cr3t', 'password=\n***'],
  ['a block of YAML', 'password: |\n  S3cr3t', 'password: |\n  ***'],
  ['JSON', '{"password":"S3cr3t","user":"y"}', '{"password":***,"user":"y"}'],
  ['JSON with a quote in its value', '{"password":"a\\"S3cr3t","user":"y"}', '{"password":***,"user":"y"}'],
  ['JSON in JSON', '{\\"password\\":\\"S3cr3t x\\",\\"user\\":1}', '{\\"password\\":***,\\"user\\":1}'],
  ['an object', "{ dbPassword: 'S3cr3t' }", '{ dbPassword: *** }'],
  ['a hash', "password => 'S3cr3t'", 'password => ***'],
  ['an element', '<password>S3cr3t</password>', '<password>***</password>'],
  ['SQL', "alter role a password 'S3cr3t'", 'alter role a password ***'],
  ['SQL of MySQL', "identified by 'S3cr3t'", 'identified by ***'],
  ['a key of Postgres', 'Key (id, token)=(1, S3cr3t) already exists.', 'Key (id, token)=*** already exists.'],
  ['a flag', 'psql --password S3cr3t -h x', 'psql --password *** -h x'],
  ['a header', 'Authorization: Basic S3cr3t=\nHost: h', 'Authorization: ***\nHost: h'],
  ['cookies', 'Cookie: a=S3cr3t; b=S3cr3t', 'Cookie: ***'],
  ['a bearer token', 'sent Bearer S3cr3t to', 'sent Bearer *** to'],
  ['a pair with a bearer token', 'token: Bearer S3cr3t', 'token: ***'],
  ['a private key', '-----BEGIN RSA PRIVATE KEY-----\nS3cr3t', '-----BEGIN RSA PRIVATE KEY-----***'],
  ['a JSON Web Token', 'got eyJhbGciOiJIUzI1NiJ9.S3cr3t.x-_x now', 'got *** now'],
  ...['ghp_', 'github_pat_', 'glpat-', 'xoxb-', 'npm_', 'sk_live_'].map((prefix): [string, string, string] => [
    `a token that begins with ${prefix}`,
    `got ${prefix}S3cr3tS3cr3t now`,
    'got *** now',
  ]),
  ...[
    'PASSWORD',
    'PGPASSWORD',
    'DB_PASSWORD',
    'passwd',
    'pwd',
    'pass',
    'passphrase',
    'secret',
    'client_secret',
    'clientSecret',
    'token',
    'access_token',
    'refresh_token',
    'api_key',
    'apikey',
    'X-Api-Key',
    'aws_secret_access_key',
    'AccountKey',
    'SharedAccessKey',
    'private_key',
    'credentials',
    '?sig',
  ].map((name): [string, string, string] => [`the name ${name}`, `${name}=S3cr3t x`, `${name}=*** x`]),
]

/** Texts that have no secret, and are shown as they are. */
const harmless = [
  'password authentication failed for user "y"',
  'column "password" of relation "users" does not exist',
  'http://host:8080/path is away, write to bob@example.com',
  'postgres://user@host/db',
  'connect ECONNREFUSED 127.0.0.1:5432',
  'DETAIL: Token "}" is invalid.',
  'compass=1 passengers: 2',
]

describe('redact', () => {
  it.each(forms)('hides the secret of %s', (_, text, shown) => {
    expect(redact(text)).toBe(shown)
  })

  it.each(harmless)('leaves as it is: %s', (text) => {
    expect(redact(text)).toBe(text)
  })

  it('takes time in proportion to the text', () => {
    const units = [
      ...forms.filter((_, at) => at % 5 === 0).map(([, text]) => text),
      'a://:',
      'a://b:c ',
      'password',
      'password="',
      '\\"',
      '(token',
      'token,',
      ':thin:a/',
      'eyJ-',
      ' ',
      '\n',
    ]
    for (const unit of units)
      expect(
        growthOf((length) => {
          const text = unit.repeat(length / unit.length)
          return () => redact(text)
        }),
        unit,
      ).toBeLessThan(8)
  }, 60_000)
})

describe('a message that is cut', () => {
  it.each(forms)('does not show the secret of %s at the cut', (_, text) => {
    for (let before = 2000 - text.length; before <= 2000; before++) {
      for (const rest of ['', ' x'.repeat(10_000)]) {
        const [message = ''] = errorMessages(new Error(`${'x'.repeat(before - 1)} ${text}${rest}`))
        expect(message).not.toMatch(/S3c/)
        expect(message.startsWith('x'.repeat(1800))).toBe(true)
        expect(message.length).toBeLessThanOrEqual(2001)
      }
    }
  })

  it.each(['postgres://user:', 'password="', 'Bearer ', ''])('does not show a long secret after %s', (before) => {
    const long = 'S3cr3t'.repeat(600)
    const redactor = new Redactor([long])
    for (const at of [0, 1500, 1999, 6000, 9000, 10_000, 10_150]) {
      const text = `${'x '.repeat(at / 2)}${before}${long}" @host${' y'.repeat(5000)}`
      expect(redactor.shorten(text, 2000)).not.toContain('S3c')
    }
  })
})

describe('secrets of a user', () => {
  it('are hidden, as they are, in URLs and in JSON', () => {
    const redactor = new Redactor(['my "key" ä'])
    const text = `my "key" ä, ${encodeURIComponent('my "key" ä')}, ${JSON.stringify('my "key" ä')}, password=x`
    expect(redactor.redact(text)).toBe('***, ***, "***", password=***')
  })

  it('are hidden by a function, which hides all when it fails', () => {
    expect(new Redactor((text) => text.replace(/\d{4}/g, '#')).redact('a 1234 password=x')).toBe('a # password=***')
    expect(
      new Redactor(() => {
        throw new Error('no')
      }).redact('1234'),
    ).toBe('***')
    expect(new Redactor((() => 42) as never).redact('1234')).toBe('***')
  })

  it.each([[[secret]], [(text: string) => text.replaceAll(secret, '***')]])(
    'are hidden in statuses and logs',
    async (own) => {
      const told: string[] = []
      const tell = (details: object, message: string) => told.push(JSON.stringify([details, message]))
      const registry = new JobRegistry({
        storage: memoryStorage(),
        redact: own,
        logger: { debug: tell, info: tell, warn: tell, error: tell },
      })
      registry.define({
        type: 'test',
        id: 'a',
        run: ({ logger, redactor }) => {
          logger.warn({ error: ['a S3cr3t'], text: 'a S3cr3t' }, 'said S3cr3t')
          throw new Error(`a S3cr3t ${redactor.redact('S3cr3t')}`)
        },
      })
      registry.on('error', () => Promise.reject(new Error('a S3cr3t')))
      const { finished } = await registry.start('test', 'a')
      expect(await finished).toMatchObject({ error: ['a *** ***'] })
      await registry.close()
      expect(told.join()).toContain('said ***')
      expect(told.join()).not.toContain(secret)
    },
  )

  it.each([['secret'], [['abc']], [['\ud800secret']], [[1234]], [null]])('are refused when they are %o', (own) => {
    const options = { storage: memoryStorage(), redact: own as never }
    expect(() => new JobRegistry(options)).toThrow(/^Expected `redact` to be a function, or an array of strings/)
  })

  it('are none by default', () => {
    expect(commonRedactor.hasOwn).toBe(false)
    expect(new JobRegistry({ storage: memoryStorage() }).redactor.hasOwn).toBe(false)
  })
})
