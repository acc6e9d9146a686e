import { inspect } from 'node:util'
import { errorMessages, JobRegistry, memoryStorage } from 'headgate'
import { redact } from 'headgate/adapter'
import { describe, expect, it } from 'vitest'
import type { ExecutionContext } from '../../../src/core/execution/index.js'
import { redactorOf } from '../../../src/core/redaction/index.js'
import { inContexts } from '../../support/in-contexts.js'
import { growthOf } from '../../support/linear.js'
import { smallestOf } from '../../support/smallest-of.js'

const secret = 'S3cr3t'

/** What is shown of a sequence for terminals. Links of the standard form are removed, as colours are. */
function escaped(sequence: string): string {
  if (sequence.startsWith('\u001b]8;')) return ''
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are shown by their codes.
  const controls = /[\0-\x1f\x7f-\x9f\u202e]/g
  return sequence.replace(controls, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A text of each form that is known, and what is shown of it. */
const forms: [form: string, text: string, shown: string][] = [
  ['a URL', 'postgres://user:S3cr3t@host/db is wrong', 'postgres://user:***@host/db is wrong'],
  ['an ordinary word as Node shows it', "{ auth: 'S3cr3t', otp: 'S3cr3t' }", '{ auth: ***, otp: *** }'],
  ...(
    [
      ["auth', with args beginning with: 'u' 'S3cr3t' ", "auth', with args beginning with: ***"],
      ["HELLO', with args beginning with: '3' 'AUTH' 'u' 'S3cr3t' ", "HELLO', with args beginning with: ***"],
      ['AUTH`, with args beginning with: `u`, `S3cr3t`, ', 'AUTH`, with args beginning with: ***'],
      ["confg', with args beginning with: 'set' 'requirepass' 'S3cr3t'", "confg', with args beginning with: ***"],
    ] as const
  ).map(([text, shown]): [string, string, string] => [
    `a command that Redis does not know, ${text}`,
    `ERR unknown command '${text}`,
    `ERR unknown command '${shown}`,
  ]),
  [
    'a rule of a user of Redis',
    "ERR Error in ACL SETUSER modifier '<S3cr3t': The password does not exist",
    "ERR Error in ACL SETUSER modifier '<S3cr3t': The password does not exist".replace('<S3cr3t', '***'),
  ],
  [
    'the command of an error of ioredis',
    "ReplyError: ERR { command: { name: 'HELLO', args: [ '3', 'AUTH', 'u', 'S3cr3t' ] } }",
    "ReplyError: ERR { command: { name: 'HELLO', args: [***] } }",
  ],
  [
    'the command of an error of ioredis in JSON',
    '{"command":{"name":"CONFIG","args":["SET","requirepass","S3cr3t","x"]}}',
    '{"command":{"name":"CONFIG","args":[***]}}',
  ],
  [
    'a URL whose scheme lacks its colon',
    "Invalid URL: 'postgres//u:S3cr3t@host'",
    "Invalid URL: 'postgres//u:***@host'",
  ],
  ['a URL without a scheme, with a bad port', "input: '//u:S3cr3t@host:port/'", "input: '//u:***@host:port/'"],
  ['a key of S3', "SSECustomerKey: 'S3cr3t'", 'SSECustomerKey: ***'],
  ['a key of S3 to copy', "CopySourceSSECustomerKey: 'S3cr3t'", 'CopySourceSSECustomerKey: ***'],
  [
    'the header of a key of S3',
    'x-amz-server-side-encryption-customer-key: S3cr3t',
    'x-amz-server-side-encryption-customer-key: ***',
  ],
  ['a URL without a user', 'redis://:S3cr3t@host', 'redis://:***@host'],
  ['a URL with delimiters in its password', 'postgres://user:s3/c@r:?#S3cr3t@host/db', 'postgres://user:***@host/db'],
  ['a URL with a space in its password', 'postgres://user:a S3cr3t@host/db', 'postgres://user:***@host/db'],
  ['a URL with a line end in its password', 'postgres://user:a\nS3cr3t@host/db', 'postgres://user:***@host/db'],
  ['a URL with a line end after its password', 'redis://:S3cr3t\r\n@host:6379', 'redis://:***@host:6379'],
  ['a URL in a URL', 'https://host/?to=postgres://user:S3cr3t@host', 'https://host/?to=postgres://user:***@host'],
  ['two URLs', 'redis://a:S3cr3t@h to POSTGRES://b:S3cr3t@h', 'redis://a:***@h to POSTGRES://b:***@h'],
  ['a key in the place of a user', 'redis://S3cr3t@host', 'redis://***@host'],
  ['a token in the place of a user', 'https://S3cr3t@host/repo', 'https://***@host/repo'],
  ['a connect string of Oracle', 'jdbc:oracle:thin:user/S3cr3t@host', 'jdbc:oracle:thin:user/***@host'],
  ['a URL in JSON', '"postgres:\\/\\/user:S3cr3t@h\\/db"', '"postgres:\\/\\/user:***@h\\/db"'],
  ['a URL in JSON with codes', 'postgres:\\u002f\\u002fuser:S3cr3t@h', 'postgres:\\u002f\\u002fuser:***@h'],
  ['a URL with an encoded colon', 'postgres://user%3AS3cr3t@h', 'postgres://user%3A***@h'],
  ['an encoded URL', 'to=postgres%3A%2F%2Fuser%3AS3cr3t%40h%2Fdb&x', 'to=postgres%3A%2F%2Fuser%3A***%40h%2Fdb&x'],
  ['an address without a scheme', 'at user:S3cr3t@host:5432 x', 'at user:***@host:5432 x'],
  ['an address without a scheme, with a path', 'at //user:S3cr3t@host/db', 'at //user:***@host/db'],
  ['an address of Go', 'user:S3cr3t@tcp(h:3306)/db', 'user:***@tcp(h:3306)/db'],
  ['a web hook of Slack', 'https://hooks.slack.com/services/T0/B0/S3cr3t x', 'https://hooks.slack.com/services/*** x'],
  ['a web hook of Discord', 'https://discord.com/api/webhooks/1/S3cr3t x', 'https://discord.com/api/webhooks/*** x'],
  ['a web hook of Teams', 'https://a.webhook.office.com/webhookb2/S3cr3t', 'https://a.webhook.office.com/***'],
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
  ['a block of YAML', 'password: |\n  a\n\n  S3cr3t\nuser: y', 'password: ***\nuser: y'],
  ['a folded block of YAML', 'password: >-\n  a\n  S3cr3t', 'password: ***'],
  ['a map of YAML', 'password:\n  current: S3cr3t\n  old: S3cr3t\nuser: y', 'password:\n  ***\nuser: y'],
  ['a nested map of YAML', 'db:\n  password:\n    current: S3cr3t\n  user: y', 'db:\n  password:\n    ***\n  user: y'],
  [
    'a map of YAML in a message',
    'Invalid: password:\n  current: S3cr3t\nuser: y',
    'Invalid: password:\n  ***\nuser: y',
  ],
  ['a map of YAML after a comment', 'password: # c\n  current: S3cr3t\nuser: y', 'password: ***\nuser: y'],
  ['a map of YAML after a blank line', 'password:\n\n  current: S3cr3t x\nuser: y', 'password:\n\n  ***\nuser: y'],
  ['a map of YAML in an item', '- password:\n    a: S3cr3t\n  user: y', '- password:\n    ***\n  user: y'],
  ['a block of YAML with a comment', 'password: | # c\n  a\n  S3cr3t\nuser: y', 'password: ***\nuser: y'],
  ['a block of YAML after a blank line', 'password: >-\n\n  a\n  S3cr3t\nuser: y', 'password: ***\nuser: y'],
  ['a block of YAML with an indentation', 'password: |2-\n    a\n  S3cr3t\nuser: y', 'password: ***\nuser: y'],
  ['a block of YAML with CRLF', 'password: |\r\n  a\r\n  S3cr3t\r\nuser: y', 'password: ***\r\nuser: y'],
  ['a block of YAML that is tagged, with a comment', 'x: 1\npassword: !a | # c\n  S3cr3t\ny', 'x: 1\npassword: ***\ny'],
  ['a list of YAML after a comment', 'passwords:\n  # c\n  - a\n  - S3cr3t\nuser: y', 'passwords:\n  ***\nuser: y'],
  ['a list of YAML that is not indented', 'passwords:\n- a\n- S3cr3t\nuser: y', 'passwords:\n***\nuser: y'],
  ['a value in braces of ODBC', 'PWD={my;S3cr3t};Uid=x', 'PWD=***;Uid=x'],
  ['a value in braces of ODBC with a brace', 'PWD={my}};a S3cr3t};Uid=x', 'PWD=***;Uid=x'],
  ['an escaped element', '&lt;password&gt;a S3cr3t&lt;/password&gt; x', '&lt;password&gt;***&lt;/password&gt; x'],
  [
    'an element that is escaped twice',
    '&amp;lt;password&amp;gt;S3cr3t x&amp;lt;/password&amp;gt;',
    '&amp;lt;password&amp;gt;***&amp;lt;/password&amp;gt;',
  ],
  [
    'an escaped element by numbers',
    '&#60;password&#62;a S3cr3t&#x3c;/password&#x3e;',
    '&#60;password&#62;***&#x3c;/password&#x3e;',
  ],
  [
    'an escaped element with attributes',
    '&lt;password a=&quot;b&quot;&gt;S3cr3t x&lt;/password&gt;',
    '&lt;password a=&quot;b&quot;&gt;***&lt;/password&gt;',
  ],
  [
    'an element in JSON',
    '\\u003cpassword\\u003eS3cr3t x\\u003c/password\\u003e',
    '\\u003cpassword\\u003e***\\u003c/password\\u003e',
  ],
  ['an encoded element', '%3Cpassword%3ES3cr3t%3C/password%3E', '%3Cpassword%3E***%3C/password%3E'],
  ['an element on lines of its own', '<password>\n  a S3cr3t\n</password>', '<password>\n  ***</password>'],
  ['an element with a short name', '<pw>S3cr3t x</pw>', '<pw>***</pw>'],
  ['an attribute in HTML', 'password=&quot;a S3cr3t&quot; user=y', 'password=*** user=y'],
  ['an attribute in HTML by numbers', 'password=&#x22;a S3cr3t&#034; user=y', 'password=*** user=y'],
  ['an attribute in HTML in HTML', 'password=&amp;quot;a S3cr3t&amp;quot; user=y', 'password=*** user=y'],
  ['a name in full width', '\uff50assword=S3cr3t x', '\uff50assword=*** x'],
  ['a colon in full width', 'password\uff1aS3cr3t x', 'password\uff1a*** x'],
  ['a name with an escape of JSON', '{"pass\\u0077ord":"a S3cr3t"}', '{"pass\\u0077ord":***}'],
  [
    'a name of escapes of JSON',
    '"\\u0070\\u0061\\u0073\\u0073\\u0077\\u006f\\u0072\\u0064":"S3cr3t x"',
    '"\\u0070\\u0061\\u0073\\u0073\\u0077\\u006f\\u0072\\u0064":***',
  ],
  ['a name with an escape of JSON in JSON', '{\\"pass\\\\u0077ord\\":\\"a S3cr3t\\"}', '{\\"pass\\\\u0077ord\\":***}'],
  ['a name with an escape of JavaScript', `{ 'pass\\x77ord': 'a S3cr3t' }`, `{ 'pass\\x77ord': *** }`],
  ['a name with a code point of JavaScript', '"to\\u{6b}en": "a S3cr3t"', '"to\\u{6b}en": ***'],
  ['a name with an escape of a URL', '/?p%61ssword=S3cr3t x', '/?p%61ssword=*** x'],
  ['a name with an escape of HTML', 'pass&#119;ord=S3cr3t x', 'pass&#119;ord=*** x'],
  ['a quoted option of SQL', `options (user 'a', "password" 'a S3cr3t')`, `options (user 'a', "password" ***)`],
  [
    'an option of SQL that is set',
    `options (add token 'S3cr3t', set "api_key" 'S3cr3t')`,
    'options (add token ***, set "api_key" ***)',
  ],
  ['a role of Oracle', 'create role a identified by S3cr3t x', 'create role a identified by *** x'],
  ['a link of Oracle', 'connect to a identified by S3cr3t using', 'connect to a identified by *** using'],
  ['SQL of MySQL in backticks', 'identified by `a S3cr3t`', 'identified by ***'],
  ...[
    'user/S3cr3t@host:1521/service',
    'user/S3cr3t@tcps://host:1521/x',
    'user/S3cr3t@(DESCRIPTION=(x',
    'user/S3cr3t@10.0.0.1:1521',
    'user/"a S3cr3t"@host:1521/x',
    'SQLPLUS user/S3cr3t@x',
    'jdbc:oracle:oci:user/S3cr3t@x',
  ].map((text): [string, string, string] => [
    `an address of Oracle: ${text}`,
    `at ${text} now`,
    `at ${text.replace(/"?(?:a )?S3cr3t"?/, '***')} now`,
  ]),
  ...[
    '\u001b]0;title\u0007',
    '\u001b]2;title\u001b\\',
    '\u009dtitle\u009c',
    '\u001b]8;;http://h\u001b\\',
    '\u009d8;;http://h\u009c',
    '\u001bPx\u001b\\',
    '\u001b_x\u001b\\',
    '\u001bM',
    '\u001b[1G',
    '\u001b[?25h',
    '\u009b2G',
    '\b',
    '\0',
    '\u0085',
    '\u200b',
    '\u00ad',
    '\u202e',
    '\ufeff',
  ].map((hidden): [string, string, string] => [
    `a name with ${JSON.stringify(hidden)} in it`,
    `pass${hidden}word=S3${hidden}cr3t x`,
    `pass${escaped(hidden)}word=*** x`,
  ]),
  ['a name with a title in it, as JSON', 'pass\\u001b]0;t\\u0007word=S3cr3t x', 'pass\\u001b]0;t\\u0007word=*** x'],
  ['a link to a secret', '\u009d8;;https://u:S3cr3t@h\u009clink', '\\u009d8;;https://u:***@h\\u009clink'],
  [
    'what yup quotes',
    'password: must be a `string` type, but the final value was: `"S3cr3t x"`.',
    'password: must be a `string` type, but the final value was: ***.',
  ],
  [
    'what a validator quotes',
    `password: must be a string, but got "a S3cr3t".`,
    'password: must be a string, but got ***.',
  ],
  ['a list of YAML', 'passwords:\n  - a\n  - S3cr3t\nuser: y', 'passwords:\n  ***\nuser: y'],
  ['a list', 'credentials: ["u", ["S3cr3t"]] x', 'credentials: *** x'],
  ['a nested object', "password: { value: 'S3cr3t' }, x", 'password: ***, x'],
  ['a value in braces', 'PWD={a S3cr3t};Uid=x', 'PWD=***;Uid=x'],
  ['a value with an escaped space', 'DB_PASSWORD=a\\ S3cr3t x', 'DB_PASSWORD=*** x'],
  ['a line of an ini file', '[db]\npassword = S3cr3t\nuser = y', '[db]\npassword = ***\nuser = y'],
  ['a line of an env file', 'export DB_PASSWORD="S3cr3t x"\nA=b', 'export DB_PASSWORD=***\nA=b'],
  ['a text of Python', "password=b'a S3cr3t' x", 'password=*** x'],
  ['a call', "password=SecretStr('a S3cr3t') x", 'password=***) x'],
  ['a typed variable', "const password: string = 'S3cr3t'", 'const password: ***'],
  ['a comparison', "password === 'S3cr3t'", 'password === ***'],
  ['a default', "env.PASSWORD || 'S3cr3t'", 'env.PASSWORD || ***'],
  ['a dump of PHP', '["password"]=> string(6) "S3cr3t"', '["password"]=> ***'],
  ['a dump of Go', 'Password:(string) (len=6) "S3cr3t" x', 'Password:*** x'],
  ['a serialized text of PHP', 's:8:"password";s:6:"S3cr3t";', 's:8:"password";s:6:***;'],
  ['a name and a value', '{"name":"password","value":"S3cr3t"}', '{"name":"password","value":***}'],
  ['attributes with a name and a value', '<add key="password" value="S3cr3t"/>', '<add key="password" value=***/>'],
  ['a field of a form', 'name="password"\r\n\r\nS3cr3t\r\n--x', 'name="password"\r\n\r\n***\r\n--x'],
  ['an encoded text', '%22password%22%3A%22S3cr3t%22', '%22password%22%3A***'],
  ['a text encoded twice', '%2522password%2522%253A%2522S3cr3t%2522 x', '%2522password%2522%253A*** x'],
  ['JSON with escaped quotes', '{\\u0022password\\u0022:\\u0022S3cr3t x\\u0022}', '{\\u0022password\\u0022:***}'],
  ['JSON in JSON in JSON', '{\\\\\\"password\\\\\\":\\\\\\"S3cr3t x\\\\\\"}', '{\\\\\\"password\\\\\\":***}'],
  ['quotes of HTML', '&quot;password&quot;:&quot;S3cr3t x&quot;}', '&quot;password&quot;:***}'],
  ['JSON', '{"password":"S3cr3t","user":"y"}', '{"password":***,"user":"y"}'],
  ['JSON with a quote in its value', '{"password":"a\\"S3cr3t","user":"y"}', '{"password":***,"user":"y"}'],
  ['JSON in JSON', '{\\"password\\":\\"S3cr3t x\\",\\"user\\":1}', '{\\"password\\":***,\\"user\\":1}'],
  ['an object', "{ dbPassword: 'S3cr3t' }", '{ dbPassword: *** }'],
  ['a hash', "password => 'S3cr3t'", 'password => ***'],
  ['an element', '<password>S3cr3t</password>', '<password>***</password>'],
  ['an element with words', '<password>a S3cr3t</password>', '<password>***</password>'],
  ['an element with attributes', '<x:Password t="y">S3cr3t x</x:Password>', '<x:Password t="y">***</x:Password>'],
  ['an element with CDATA', '<password><![CDATA[S3cr3t x]]></password>', '<password>***</password>'],
  ['an attribute', '<db user="y" password="S3cr3t x"/>', '<db user="y" password=***/>'],
  ['SQL', "alter role a password 'S3cr3t'", 'alter role a password ***'],
  ['SQL of MySQL', "identified by 'S3cr3t'", 'identified by ***'],
  ['SQL in dollars', 'alter role a password $$S3cr3t x$$ login', 'alter role a password *** login'],
  ['SQL in dollars with a tag', 'alter role a password $q$S3cr3t $$ x$q$;', 'alter role a password ***;'],
  ...["E'a\\' S3cr3t'", "U&'S3cr3t x'", "'it''S3cr3t x'"].map((value): [string, string, string] => [
    `SQL with ${value}`,
    `alter role a password ${value} login`,
    'alter role a password *** login',
  ]),
  ['SQL of MySQL with a plugin', "identified with p by 'S3cr3t' x", 'identified with p by *** x'],
  ['SQL of MySQL with a hash', "identified with p as 'S3cr3t'", 'identified with p as ***'],
  ['SQL of MySQL for a user', "set password for 'a'@'h' = 'S3cr3t x'", "set password for 'a'@'h' = ***"],
  ['an option of a user mapping', "options (user 'b', password 'S3cr3t x')", "options (user 'b', password ***)"],
  [
    'a subscription',
    "connection 'host=h password=S3cr3t' publication p",
    "connection 'host=h password=*** publication p",
  ],
  ['a key of Postgres', 'Key (id, token)=(1, S3cr3t) already exists.', 'Key (id, token)=*** already exists.'],
  [
    'a key of Postgres with a bracket',
    'Key (password)=(a)S3cr3t) already exists.',
    'Key (password)=*** already exists.',
  ],
  [
    'a key of Postgres by an expression',
    'Key (lower(token::text))=(S3cr3t) already exists.',
    'Key (lower(token::text))=*** already exists.',
  ],
  [
    'a literal within a literal of SQL',
    `dblink('host=h password=''S3cr3t'' dbname=d')`,
    `dblink('host=h password=*** dbname=d')`,
  ],
  ['a short flag', 'run --pass S3cr3t --pw S3cr3t2 now', 'run --pass *** --pw *** now'],
  ['arguments of a process', `spawnargs: [ '--password', 'S3cr3t' ]`, `spawnargs: [ '--password', *** ]`],
  ['a field of an encoded form', 'user%5Bpassword%5D=S3cr3t&a=1', 'user%5Bpassword%5D=***'],
  ['a tagged value of YAML', 'password: !!str S3cr3t', 'password: ***'],
  ['a flag', 'psql --password S3cr3t -h x', 'psql --password *** -h x'],
  ['a flag of another name', 'x --api-key S3cr3t -h x', 'x --api-key *** -h x'],
  ['a flag of a user', 'curl -u user:S3cr3t https://h', 'curl -u user:*** https://h'],
  ['a line of netrc', 'machine h login u password S3cr3t x', 'machine h login u password *** x'],
  ['a line of netrc without a login', '\nmachine h password S3cr3t login u', '\nmachine h password *** login u'],
  ['lines of netrc', 'machine h\n  login u\n  password S3cr3t\n', 'machine h\n  login u\n  password ***\n'],
  [
    'netrc for all machines',
    '\ndefault login u account a password S3cr3t x',
    '\ndefault login u account a password *** x',
  ],
  ['a line of pgpass', '\ndb.host:5432:shop:app:a S3cr3t\nx', '\ndb.host:5432:shop:app:***\nx'],
  ['a line of pgpass for all', '\n*:*:*:app:S3cr3t', '\n*:*:*:app:***'],
  ['a line of pgpass in quotes', 'line "h:5432:db:u:a S3cr3t" is', 'line "h:5432:db:u:***" is'],
  ['a line of pgpass in a sentence', 'line db.host:5432:shop:app:S3cr3t is', 'line db.host:5432:shop:app:*** is'],
  ['an argument of a user', "['curl', '--user', 'u:S3cr3t']", "['curl', '--user', 'u:***']"],
  ['an argument of a user in JSON', '["-u","u:S3cr3t","x"]', '["-u","u:***","x"]'],
  ['a flag of a user in quotes', 'curl --user "D\\u:a S3cr3t" x', 'curl --user "D\\u:***" x'],
  ['a flag of a user of a proxy', 'curl -U u:S3cr3t x', 'curl -U u:*** x'],
  ['a flag of a user, first', '\n--user=u:S3cr3t x', '\n--user=u:*** x'],
  ...[
    'sqlplus user/@host x',
    'sqlplus -s -L user/@//host:1521/x now',
    "sqlplus 'user/@host' x",
    "['sqlplus', 'user/@host']",
    'expdp userid=user/@host full=y',
    'rman target sys/@host',
    'SQL> connect user/@host',
    ';conn proxy[user]/@host',
  ].map((text): [string, string, string] => [
    `a command of Oracle: ${text}`,
    text.replace('/@', '/S3cr3t@'),
    text.replace('/@', '/***@'),
  ]),
  ['a command of Oracle without a host', 'sqlplus user/S3cr3t', 'sqlplus user/***'],
  ['a quoted password of Oracle', 'sqlplus user/"a S3cr3t"@host', 'sqlplus user/***@host'],
  ['base64 of LDIF', 'userPassword:: UzNjcjN0S3cr3t\ncn: x', 'userPassword:: ***\ncn: x'],
  ['folded base64 of LDIF', 'userPassword:: UzNj\n S3cr3t==\ncn: x', 'userPassword:: ***\ncn: x'],
  ['a here-document of Terraform', 'password = <<-EOF\n  a S3cr3t\n  EOF\nuser = y', 'password = ***\nuser = y'],
  ['a here-document of a command', "login --password-stdin <<'E'\na S3cr3t\nE\nls", 'login --password-stdin ***\nls'],
  ['a here-document in one line', 'chpasswd <<EOF\\nroot:a S3cr3t\\nEOF\\nls', 'chpasswd ***\\nls'],
  ['a here-document of SQL', "psql <<E\nalter role a password 'S3cr3t'\nE", 'psql <<E\nalter role a password ***\nE'],
  ['a here-document that is not closed', 'password=<<EOF\na S3cr3t', 'password=***'],
  ['a here-text', 'passwd <<< "a S3cr3t" x', 'passwd *** x'],
  ['what a shell makes', 'PASSWORD=$(cat <<EOF\na S3cr3t\nEOF\n) x', 'PASSWORD=*** x'],
  ['a default of a shell', `PASSWORD=\${PW:-a S3cr3t} x`, 'PASSWORD=*** x'],
  ['an answer by expect', 'expect "password:"\nsend "a S3cr3t\\r"\nx', 'expect "password:"\nsend ***\nx'],
  ['a text in colours', 'pass\u001b[1mword\u001b[0m=\u001b[33mS3c\u001b[31mr3t\u001b[0m x', 'password=*** x'],
  ['an object in colours', "{ password: \u001b[32m'a S3cr3t'\u001b[39m, x }", '{ password: ***, x }'],
  ['a text in colours, as JSON', 'password: \\u001b[32m"a S3cr3t"\\u001b[39m x', 'password: *** x'],
  ['a text in colours, as Node shows it', '\\x1B[1mtoken\\x1B[22m: S3cr3t x', 'token: *** x'],
  [
    'a password of Oracle without quotes',
    'alter user app identified by S3cr3t account',
    'alter user app identified by *** account',
  ],
  ['a text in colours of another standard', 'pass\u001b[38:2::1:2:3mword\u001b(B\u001b[m=S3cr3t x', 'password=*** x'],
  ['a text in a link', 'pass\u001b]8;;http://h\u0007word=S3c\u001b]8;;\u001b\\r3t x', 'password=*** x'],
  ['a value of YAML with an anchor', 'password: &p S3cr3t\nx', 'password: ***\nx'],
  ['a value of YAML with a tag of its own', 'password: !vault |\n  1;AES\n  S3cr3t\nuser: y', 'password: ***\nuser: y'],
  ['a value of YAML with both', 'password: !!str &p "a S3cr3t" x', 'password: *** x'],
  ['an escaped separator', 'password\\u003dS3cr3t x', 'password\\u003d*** x'],
  ['a separator as HTML has it', 'password&#61;S3cr3t x', 'password&#61;*** x'],
  ['a secret of DuckDB', "(type s3, key_id 'a', SECRET 'a S3cr3t', x)", "(type s3, key_id 'a', SECRET ***, x)"],
  ['a key of Redshift', "SECRET_ACCESS_KEY 'S3cr3t' x", 'SECRET_ACCESS_KEY *** x'],
  ['a token of Redshift', "session_token 'S3cr3t' x", 'session_token *** x'],
  ['credentials of Redshift', "CREDENTIALS 'a S3cr3t' x", 'CREDENTIALS *** x'],
  ['an API key in a sentence', "the API key 'S3cr3t' is unknown", 'the API key *** is unknown'],
  ['pieces that a shell joins', "PASSWORD='a'\\''S3cr3t' x", 'PASSWORD=*** x'],
  ['pieces that a shell joins by quotes', `PASSWORD='a'"'"'S3cr3t' x`, 'PASSWORD=*** x'],
  ['double quotes that a shell joins', `PASSWORD="a"'"'"S3cr3t" x`, 'PASSWORD=*** x'],
  ['a connect string of Oracle', 'to user/S3cr3t@//host:1521/x now', 'to user/***@//host:1521/x now'],
  ['a header of a proxy', 'Proxy-Authorization: Basic S3cr3t\nHost: h', 'Proxy-Authorization: ***\nHost: h'],
  ['a header with parameters', 'Authorization: Digest username="u", response="S3cr3t"\nx', 'Authorization: ***\nx'],
  ['a header in a list', "['Authorization', 'Basic S3cr3t', 'Host']", "['Authorization', ***, 'Host']"],
  ['a header of a command', "curl -H 'Authorization: token S3cr3t' x", "curl -H 'Authorization: ***' x"],
  ['a cookie that is set', 'Set-Cookie: sid=S3cr3t; Path=/\nx', 'Set-Cookie: ***\nx'],
  ['basic credentials', 'sent Basic dTpTM2NyM3Q=S3cr3t to', 'sent Basic *** to'],
  ['a header', 'Authorization: Basic S3cr3t=\nHost: h', 'Authorization: ***\nHost: h'],
  ['cookies', 'Cookie: a=S3cr3t; b=S3cr3t', 'Cookie: ***'],
  ['a bearer token', 'sent Bearer S3cr3t to', 'sent Bearer *** to'],
  ['a pair with a bearer token', 'token: Bearer S3cr3t', 'token: ***'],
  ['a private key', '-----BEGIN RSA PRIVATE KEY-----\nS3cr3t', '-----BEGIN RSA PRIVATE KEY-----***'],
  ['a JSON Web Token', 'got eyJhbGciOiJIUzI1NiJ9.S3cr3t.x-_x now', 'got *** now'],
  ['a private key of PGP', '-----BEGIN PGP PRIVATE KEY BLOCK-----\nS3cr3t', '-----BEGIN PGP PRIVATE KEY BLOCK-----***'],
  [
    'a private key in JSON',
    '-----BEGIN PRIVATE KEY-----\\nS3cr3t\\n-----END',
    '-----BEGIN PRIVATE KEY-----***-----END',
  ],
  ['a key of AWS', 'got AKIAIOSFODNN7S3CR3TX now', 'got *** now'],
  ['a key of AWS and its secret', `AKIAIOSFODNN7EXAMPLE ${'S3cr3t/x+x'.repeat(4)} now`, '*** now'],
  ['a key of SendGrid', `got SG.${'S3cr3t'.repeat(3)}xxxx.${'S3cr3t'.repeat(7)}x now`, 'got *** now'],
  ['a secret of Azure', `got abc8Q~${'S3cr3t'.repeat(6)} now`, 'got *** now'],
  ['a token of Telegram', `got 123456789:AA${'S3cr3t'.repeat(6)} now`, 'got *** now'],
  ...[
    ...[
      'ghp_',
      'gho_',
      'ghu_',
      'ghs_',
      'ghr_',
      'github_pat_',
      'glpat-',
      'glrt-',
      'xoxb-1-',
      'xoxp-',
      'xoxa-',
      'xapp-1-A-',
    ],
    ...['sk-', 'sk-ant-api03-', 'sk-proj-', 'sk_live_', 'sk_test_', 'rk_live_', 'whsec_', 'AIza', 'ya29.', 'GOCSPX-'],
    ...['npm_', 'pypi-AgE', 'rubygems_', 'dckr_pat_', 'dop_v1_', 'fm2_', 'nfp_', 'hvs.', 'tskey-auth-', 'dp.pt.'],
    ...[
      'shpat_',
      'sq0csp-',
      'ATATT3',
      'lin_api_',
      'ntn_',
      'figd_',
      'glsa_',
      'sntrys_',
      'hf_',
      'gsk_',
      'r8_',
      'xkeysib-',
    ],
  ].map((prefix): [string, string, string] => [
    `a token that begins with ${prefix}`,
    `got ${prefix}${'S3cr3t'.repeat(6)} now`,
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
    '&signature',
    'X-Amz-Signature',
    'X-Amz-Security-Token',
    'SharedAccessSignature',
    'dbPass',
    'DB_PASS',
    'pw',
    'userPw',
    '_auth',
    'auth_key',
    'masterKey',
    'ssh_key',
    'jwt',
    'session_id',
    'JSESSIONID',
  ].map((name): [string, string, string] => [`the name ${name}`, `${name}=S3cr3t x`, `${name}=*** x`]),
]

/** Texts that have no secret, and are shown as they are. */
const harmless = [
  'could not open file "/etc/secrets/token": No such file or directory',
  'token: Path `token` is required.',
  'Token: identifier expected',
  'auth=none',
  'token=undefined',
  'credentials: include',
  'PWD=/home/app',
  'OLDPWD=/x',
  'passphrase: (none)',
  'PASS: 12 FAIL: 3',
  'http://example.com:8080/a@b',
  'password authentication failed for user "y"',
  'column "password" of relation "users" does not exist',
  'http://host:8080/path is away, write to bob@example.com',
  'postgres://user@host/db',
  'connect ECONNREFUSED 127.0.0.1:5432',
  'DETAIL: Token "}" is invalid.',
  'compass=1 passengers: 2',
  'The password is wrong.',
  'password must have 8 characters, and no name',
  'columns "password", "token" do not exist',
  'basic authentication failed, Basic JavaScript too',
  'near "x": unrecognized token: ":"; Unexpected token: }',
  'auth: failed; signature: expected 2 arguments; session id: 5',
  'author=me design=new bypass: yes',
  'task-123456789-sk-ip, sk-learn-something-long',
  'primary key (id), foreign key (token_id) references tokens (id)',
  'write to mailto:bob@example.com/ at 12:30@home',
  'The option `password` is missing.',
  'https://hooks.example.com/services/a',
  'uses actions/checkout@v4, and/or@home, @scope/pkg@1.0 or path/to/file@2',
  'could not connect to client/server@host',
  'sqlplus / as sysdba, sqlplus /nolog',
  'at src/a.ts:12:5:error:message, main.c:12:5: error: b: c',
  '2001:0:3238:DFE1:63:a at 2024-01-01T00:00:00:000:a',
  'cout << "password" << endl; x << token << y',
  'Password::new(a), token::text, std::password x',
  'ls -update: x, -u name: y',
  'records identified by id and by the name of the user',
  'at token.ts:10:5 and src/password.mjs:7',
  "Unexpected token 'a' in JSON, unexpected token '<', invalid cookie 'x'",
  'on machine db1 password authentication failed',
  'GET https://registry.npmjs.org:443/@scope/package - 404',
  'http://localhost:4873/@types%2fnode, https://unpkg.com:443/react@18.2.0/index.js',
  'token.ts:10:5, at src/token.test.tsx:3:1 and password.py:7, in secret.svelte:3:1',
  'pull library/nginx@sha256:45b23dee08af, packages/core@1.0.0, and/or@home',
  'C:\\build\\x64\\Release at 100%25',
  ...[
    'Required',
    'Invalid input: expected string, received undefined',
    'Too small: expected string to have >=8 characters',
    'String must contain at least 8 character(s)',
    'Expected string, received number',
    'must NOT have fewer than 8 characters',
    'must be at least 8 characters',
    'must be a string',
    'must be longer than or equal to 8 characters',
    'should not be empty',
    'is required',
    'is too short (minimum is 8 characters)',
    "can't be blank",
    'does not match',
    'This field is required.',
    'This password is too short. It must contain at least 8 characters.',
    'Input should be a valid string',
    'Field required',
    'has expired',
    'null value in column violates not-null constraint',
    'undefined',
    'null',
  ].map((sentence) => `password: ${sentence}`),
  'Invalid token: jwt malformed',
  'Could not fetch a token:\n    at load (/app/src/a.js:3:1)\n    at /app/src/b.js:4:2',
  'Invalid token: unexpected end of input',
  `a $(b) \${c} x[1m`,
]

describe('redact', () => {
  it.each(forms)('hides the secret of %s', (_, text, shown) => {
    expect(redact(text)).toBe(shown)
  })

  it.each(harmless)('leaves as it is: %s', (text) => {
    expect(redact(text)).toBe(text)
  })

  it.each(forms)('leaves what it has redacted as it is: %s', (_, text) => {
    for (const told of inContexts(text)) expect(redact(redact(told))).toBe(redact(told))
  })

  it('takes time in proportion to the text', () => {
    const units = [
      ...forms.filter((_, at) => at % 8 === 0).map(([, text]) => text),
      'password: |\n  a\n',
      'password: [',
      'password=({',
      'password $$',
      'Authorization: a="',
      'Authorization: a="b" ',
      '<password a="',
      'password\\',
      'password value=',
      'a:b@c',
      '//a:b@c ',
      'with args beginning with: a',
      "ACL SETUSER modifier '<",
      "name: 'auth', args: [",
      'a:!',
      '%3a%2f%2fa%3a',
      'AKIAIOSFODNN7EXAMPLE ',
      'sk-a',
      '-u a:',
      'Basic aaaa',
      'password for ',
      'login a password ',
      '-----BEGIN ',
      'a://:',
      'a://b:c ',
      'password',
      'password="',
      '\\"',
      '(token',
      'token,',
      ':thin:a/',
      'eyJ-',
      '\u001b[1',
      '\\\\u001b[',
      'password <<E\nE',
      'password <<E\n',
      'E\n',
      'password <<<',
      'password:: a\n a',
      'sqlplus ',
      'sqlplus a/',
      'connect a/',
      'a:55:b:',
      'a.b-',
      '*:*:*:*:x ',
      'machine a ',
      '$(',
      'password=$(',
      "password='a'",
      'password: &a ',
      'token ',
      'token',
      'api_key_',
      'password ',
      "secret '",
      'a/b@/',
      '\u001b]8;',
      'password:\n  a\n',
      'password:\n',
      '  password: |\n\n',
      'password: # ',
      '- ',
      '&lt;password&gt;',
      '&amp;',
      '&#x61;',
      '\\u0061',
      '\\x61',
      '%61',
      '\\',
      '\u001b]0;',
      '\\u001b]',
      '\u009d',
      '\u001b[',
      '\u200b',
      'PWD={',
      'PWD={}}',
      '}}',
      "(password 'x', ",
      '("password" ',
      'a/b@c:1',
      'a/"b',
      'http://a:1/@',
      'http://a:1/a@1.',
      '<password>\n',
      '<password>\na </',
      'password: must be ',
      'password: expected string, got ',
      'password: is not ',
      'identified by `',
      'password" send ',
      '"-u","',
      'password >',
      '&amp;password>[\\"Key (',
      'mysql -u a ',
      'mysql "-p',
      'redis-cli "',
      'Key (token',
      'contains (token ',
      '"token" with value ',
      'token was `',
      'received "a at token ',
      'path:["token ',
      'token</key>',
      "password: 'a' +\n",
      'password: got \\"',
      '"token" with value \\"',
      'token is "a"; ',
      '{"value":"a","path":"token"},',
      'value "at token ',
      "sshpass -p'",
      'X-Api-Key: ',
      'token: \\n ',
      '\uff41',
      'name="db_pass" a="b" ',
      'invalid_token: a ',
      'Bearer "',
      'Bearer+',
      '{"token":1',
      '"token":1,',
      '-u a ',
      '-u a -p',
      '-u a -b ',
      '"-u","a",',
      '-sSu ',
      '"--password=a ',
      "'--password=",
      'AUTH a1 ',
      'AUTH ',
      'auth([',
      '"auth","args":[',
      '"token","a":"b",',
      'define("token","',
      '"x-token","',
      'CONNECT a/',
      '\u00ad',
      '\u001b',
      ' ',
      '\n',
    ]
    for (const unit of units)
      expect(
        growthOf(
          (length) => {
            const text = unit.repeat(length / unit.length)
            return () => redact(text)
          },
          { length: 60_000 },
        ),
        unit,
      ).toBeLessThan(8)
  }, 180_000)
})

it('takes little longer for a text of names than for other texts', async () => {
  const textOf = (unit: string) => unit.repeat(50_000 / unit.length)
  const timeOf = (text: string) => {
    const begun = process.cpuUsage()
    redact(text)
    return process.cpuUsage(begun).user
  }
  const plain = textOf('plain text ')
  for (const unit of ['token', '_token', 'api_key_', 'secret@', 'password', 'token ', 'authorization', "secret '"]) {
    const text = textOf(unit)
    // In turn, as a busy machine slows down whatever runs at that moment.
    const ratio = async () => {
      const times = Array.from({ length: 5 }, () => [timeOf(text), timeOf(plain)] as const)
      return Math.min(...times.map(([time]) => time)) / Math.min(...times.map(([, time]) => time))
    }
    expect(await smallestOf(40, ratio), unit).toBeLessThan(40)
  }
})

describe('a message that is cut', () => {
  it.each(forms)('does not show the secret of %s at the cut', (_, text) => {
    // Every fifth place, and others for each form.
    for (let before = 2000 - text.length + (text.length % 5); before <= 2000; before += 5) {
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
    const redactor = redactorOf([long])
    for (const at of [0, 1500, 1999, 6000, 9000, 10_000, 10_150]) {
      const text = `${'x '.repeat(at / 2)}${before}${long}" @host${' y'.repeat(5000)}`
      expect(redactor.shorten(text, 2000)).not.toContain('S3c')
    }
  })
})

describe('secrets of a user', () => {
  it('are hidden, as they are, in URLs and in JSON', () => {
    const redactor = redactorOf(['my "key" ä'])
    const text = `my "key" ä, ${encodeURIComponent('my "key" ä')}, ${JSON.stringify('my "key" ä')}, password=x`
    expect(redactor.redact(text)).toBe('***, ***, "***", password=***')
  })

  const own = `my "k'y" \\ä/€😀 & <x>\n+%z`
  const json = (text: string) => JSON.stringify(text).slice(1, -1)
  const ascii = (text: string) =>
    text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  const html = own.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
  it.each([
    ['PHP', `s:9:"${own}";`],
    ['PHP in JSON', json(`s:9:"${own}";`)],
    ['JSON of PHP', ascii(json(own)).replaceAll('/', '\\/')],
    ['JSON in JSON', json(json(own))],
    ['JSON in JSON in JSON', json(json(json(own)))],
    ['ASCII JSON in JSON', json(ascii(json(own)))],
    ['a URL in a URL', encodeURIComponent(encodeURIComponent(own))],
    ['JSON in a URL', encodeURIComponent(json(own))],
    ['a URL in JSON', json(encodeURIComponent(own))],
    ['a form in a URL', encodeURIComponent(new URLSearchParams({ a: own }).toString())],
    ['a text of Python', `'my "k\\'y" \\\\ä/€😀 & <x>\\n+%z'`],
    ['bytes of Python', `b'my "k\\'y" \\\\\\xc3\\xa4/\\xe2\\x82\\xac\\xf0\\x9f\\x98\\x80 & <x>\\n+%z'`],
    ['ASCII of Python', `'my "k\\'y" \\\\\\xe4/\\u20ac\\U0001f600 & <x>\\n+%z'`],
    ['HTML', html],
    ['HTML in HTML', html.replaceAll('&', '&amp;')],
    ['backslashes within codes', encodeURIComponent(own).replaceAll('%', '%\\')],
    [
      'backslashes and plus signs',
      own.replaceAll(' ', '+').replace(/./gs, '\\$&').replace('\\\n', '\\n').replace('\\n', '\n'),
    ],
  ])('are hidden in %s', (_, text) => {
    const shown = redactorOf([own]).redact(`a ${text} b`)
    expect(shown).toMatch(/^a .*\*\*\*.* b$/)
    expect(shown).not.toMatch(/my|z/)
  })

  describe.each([
    ['base64', (text: string) => Buffer.from(text).toString('base64')],
    ['base64 of URLs', (text: string) => Buffer.from(text).toString('base64url')],
    ['base64 in a URL', (text: string) => encodeURIComponent(Buffer.from(text).toString('base64'))],
    ['hexadecimal digits', (text: string) => Buffer.from(text).toString('hex')],
    ['capital hexadecimal digits', (text: string) => Buffer.from(text).toString('hex').toUpperCase()],
    ['a buffer of Node', (text: string) => inspect(Buffer.from(text))],
  ])('are hidden in %s', (_, encode) => {
    it.each(['', 'a', 'ab', 'abc'])('after %j', (before) => {
      const redactor = redactorOf(['open sesame, ä>?~ÿ'])
      const [shown, other] = [`open sesame, ä>?~ÿ`, `x`.repeat(17)].map((text) => encode(`${before}${text}xyz`))
      // At most one character on each side also belongs to what is beside the secret.
      expect(redactor.redact(`a ${shown} b`)).toMatch(/^a .{0,20}\*\*\*.{0,20} b$/)
      expect(redactor.redact(`a ${other} b`)).toBe(`a ${other} b`)
    })
  })

  it('are not searched for in base64 when they are short', () => {
    expect(redactorOf(['abcde']).redact(btoa('abcde'))).toBe(btoa('abcde'))
  })

  it('are not searched for without their escapes when few characters are left', () => {
    expect(redactorOf(['%41%42']).redact('AB\\n %41%42')).toBe('AB\\n ***')
  })

  it('are searched for in time that is in proportion to the text', () => {
    const redactor = redactorOf([own])
    for (const unit of ['\\', '\\0', '+', '\uff41', '%25', '&amp;', 'my+', '\\x', '%c3'])
      expect(
        growthOf(
          (length) => {
            const text = unit.repeat(length / unit.length)
            return () => redactor.redact(text)
          },
          { length: 60_000 },
        ),
        unit,
      ).toBeLessThan(8)
  })

  it('are hidden by a function, which hides all when it fails', () => {
    expect(redactorOf((text) => text.replace(/\d{4}/g, '#')).redact('a 1234 password=x')).toBe('a # password=***')
    expect(
      redactorOf(() => {
        throw new Error('no')
      }).redact('1234'),
    ).toBe('***')
    expect(redactorOf((() => 42) as never).redact('1234')).toBe('***')
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
        run: (context) => {
          const { logger, redactor } = context as ExecutionContext
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

  it.each([
    [['secret', 'abc'], '3 characters'],
    [['secret', 'x'.repeat(4097)], '4097 characters'],
    [['secret', '\ud800secret'], 'half of a surrogate pair'],
    [['secret', 1234], 'a value of type number'],
    [new Array(2).fill('secret', 0, 1), 'a value of type undefined'],
  ])('are refused by their place: %o', (own, came) => {
    const options = { storage: memoryStorage(), redact: own as never }
    const message = `Expected \`redact[1]\` to be a string of 4 to 4096 well-formed characters, got ${came}`
    expect(() => new JobRegistry(options)).toThrow(message)
  })

  it.each([['secret'], [null]])('are refused when they are %o', (own) => {
    const options = { storage: memoryStorage(), redact: own as never }
    expect(() => new JobRegistry(options)).toThrow(
      /^Expected `redact` to be a function that gives text at once, or an array of strings/,
    )
  })
})

it.each([
  ['<', 1_000_000],
  ['<<<', 1_000_000],
  ['\uff1c', 1_000_000],
  ['!a ', 1_000_000],
  ['&lt;', 200_000],
])('hides a long value of %j', (unit, length) => {
  for (const before of ['password=', '-----BEGIN PRIVATE KEY-----'])
    expect(redact(`${before}${unit.repeat(length / unit.length)}S3cr3t`)).toBe(`${before}***`)
})
