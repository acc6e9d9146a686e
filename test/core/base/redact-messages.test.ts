import { redact } from 'headgate/adapter'
import { describe, expect, it } from 'vitest'

/** Messages of libraries and servers that name a secret, and show none. */
const readable: Record<string, string[]> = {
  'JSON and its like': [
    '{"password":null,"host":"db","error":"disk full"}',
    '{"token":true,"error":"disk full"}',
    '{"token":55,"error":"disk full"}',
    '{\\"sync_token\\":55,\\"error\\":\\"disk full\\"}',
    '[{"expected":"string","received":"undefined","path":["password"]}]',
    "{ received: 'undefined', path: [ 'password' ] }",
  ],
  'names that say something about a secret': [
    'token_endpoint: https://host/token',
    'token_url=https://host/oauth/token',
    'reset_password_url: https://host/reset',
    'secretName: db-cred',
    'secret_name: prod/db',
    'cookieName: sid',
    'secretKeyRef: name',
    'secretArn: arn:aws:kms',
    'accessTokenLifetime: 3600',
    'sync_token=55',
    'cookies: 3',
    'Key (token_id)=(77) already exists.',
  ],
  Postgres: [
    'password authentication failed for user "app"',
    'no password supplied',
    'fe_sendauth: no password supplied',
    'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string',
    'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string',
    'FATAL: empty password returned by client',
    'User "app" has no password assigned.',
    'User "app" has an expired password.',
    'NOTICE: empty string is not a valid password, clearing password',
    'column "password_hash" of relation "users" does not exist',
    'column users.password does not exist',
    'password_hash column is missing',
    'null value in column "password" of relation "users" violates not-null constraint',
    'duplicate key value violates unique constraint "users_token_key"',
    'insert or update on table "sessions" violates foreign key constraint "sessions_token_id_fkey"',
    'value too long for type character varying(64) in column "api_key"',
    'syntax error at or near "password"',
    'permission denied for table access_tokens',
    'relation "refresh_tokens" does not exist',
    'could not open certificate file "client.crt" and private key file "client.key"',
    'password is required, because non-superusers must provide a password in the connection string.',
    'index "tokens_secret_idx" contains unexpected zero page',
  ],
  MySQL: [
    "Access denied for user 'root'@'localhost' (using password: YES)",
    "Access denied for user 'root'@'localhost' (using password: NO)",
    'Your password does not satisfy the current policy requirements',
    'Your password has expired. To log in you must change it using a client that supports expired passwords.',
    "Plugin 'mysql_native_password' is not loaded",
    'Client does not support authentication protocol requested by server; consider upgrading MySQL client (mysql_clear_password)',
    "Unknown column 'password' in 'field list'",
    "Field 'api_key' doesn't have a default value",
    "Data too long for column 'token' at row 1",
    "Duplicate entry for key 'users.token_unique'",
    '[Warning] Using a password on the command line interface can be insecure.',
  ],
  Redis: [
    'NOAUTH Authentication required.',
    'WRONGPASS invalid username-password pair or user is disabled.',
    'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
    'ERR invalid password',
    'ERR Client sent AUTH, but no password is set',
    '[ioredis] Unhandled error event: ReplyError: NOAUTH Authentication required',
    "This Redis server's `default` user does not require a password, but a password was supplied",
  ],
  Kafka: [
    'SASL PLAIN authentication failed: Authentication failed: Invalid username or password',
    'SASL SCRAM SHA512 authentication failed: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512',
    'SASL OAUTHBEARER authentication failed: No OAuth bearer token provided',
    'Broker: Delegation Token feature is not enabled',
    'The token has expired: the delegation token is not usable',
  ],
  HTTP: [
    'Request failed with status code 401: invalid_token',
    'error="invalid_token", error_description="The access token expired"',
    'WWW-Authenticate: Bearer realm="api", error="invalid_token"',
    'error=invalid_token',
    'Missing Authorization header',
    'Authorization header is malformed',
    'token_type bearer',
    'token_type: bearer',
    '{"token_type":"Bearer","expires_in":3600}',
    'token_type=Bearer',
    'invalid_client: Client authentication failed',
    'unsupported_token_type',
    'subject_token_type=urn:ietf:params:oauth:token-type:access_token',
    'invalid csrf token',
    'EBADCSRFTOKEN: invalid csrf token',
    'misconfigured csrf: cookie-parser is required',
  ],
  AWS: [
    'The security token included in the request is invalid.',
    'The security token included in the request is expired',
    'UnrecognizedClientException: The security token included in the request is invalid.',
    'Could not load credentials from any providers',
    'CredentialsProviderError: Token is expired. To refresh this SSO session run aws sso login with the corresponding profile.',
    'InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records.',
    'SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    'ExpiredToken: The provided token has expired.',
    "Secrets Manager can't find the specified secret.",
    'Missing credentials in config, if using AWS_CONFIG_FILE, set AWS_SDK_LOAD_CONFIG=1',
  ],
  'language models': [
    'max_tokens exceeded 4096',
    'max_tokens: 4096',
    '"max_tokens": 4096',
    'max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens',
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    'Rate limit reached for gpt-4 on tokens per min (TPM): Limit 40000, Used 39000, Requested 2000.',
    'usage: { prompt_tokens: 12, completion_tokens: 7, total_tokens: 19 }',
    '{"input_tokens":12,"output_tokens":7,"cache_read_input_tokens":0}',
    'The OPENAI_API_KEY environment variable is missing or empty; either provide it, or instantiate the client with an apiKey option',
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
  ],
  'JSON Web Tokens': [
    'jwt malformed',
    'jwt expired',
    'invalid token',
    'invalid signature',
    'jwt signature is required',
    'secret or public key must be provided',
    'secretOrPrivateKey must have a value',
    'JWTExpired: "exp" claim timestamp check failed',
    'JWSSignatureVerificationFailed: signature verification failed',
    'no applicable key found in the JSON Web Key Set',
    'Invalid Compact JWS',
    'JWTInvalid: JWT Claims Set must be a top-level JSON object',
  ],
  'logins and sessions': [
    'Failed to obtain access token',
    'OAuth2Strategy requires a clientSecret option',
    'secret option required for sessions',
    'express-session deprecated req.secret; provide secret option',
    'Unknown authentication strategy "jwt-token"',
    'Invalid user credentials',
    'invalid_grant: Token is not active',
    'invalid_grant: Session not active',
    'invalid_request: Missing form parameter: grant_type',
    'invalid_client: Invalid client or Invalid client credentials',
    'Account is not fully set up: UPDATE_PASSWORD',
    'Failed to verify token: Token audience does not match',
    'type=LOGIN_ERROR, realmId=shop, clientId=web, error=invalid_user_credentials, auth_method=openid-connect, auth_type=code',
  ],
  Prisma: [
    'Authentication failed against database server, the provided database credentials for `app` are not valid.',
    'Unique constraint failed on the fields: (`token`)',
    'The column `User.passwordHash` does not exist in the current database.',
    'Argument `password` is missing.',
    'Unknown argument `apiKey`. Did you mean `apiKeyId`?',
    'Null constraint violation on the fields: (`password`)',
    'Environment variable not found: DATABASE_PASSWORD.',
  ],
  TypeORM: [
    'EntityPropertyNotFoundError: Property "passwordHash" was not found in "User". Make sure your query is correct.',
    'Property "token" was not found in "Session".',
    'QueryFailedError: column User.refreshToken does not exist',
    'Data type "Object" in "User.password" is not supported by "postgres" database.',
  ],
  'parsers and shells': [
    'syntax error at or near "token": expected identifier',
    'Unexpected token: punc (;)',
    'pass: 1, fail: 2',
    'bash: pwd: command not found',
    'error: --password is required',
    'has_password: true',
    '{"has_password":true,"a":1}',
    'password_reset_at: 2026-01-01',
    'passwordResetAt: 2026-01-01',
    'secret_id: 12',
    'signature=invalid',
    'update a set password = $1 where id = $2',
    'insert into a set password = ?',
    'usage: a --password <password> -h <host>',
  ],
  validators: [
    'Argument `password`: Invalid value provided. Expected String, provided Int.',
    'Expected `password` to be a text, got undefined',
    'Path `password` is required.',
    '"password" is required',
    '"password" is not allowed to be empty',
    '"password" length must be at least 8 characters long',
    '"password" must be a string',
    'password is a required field',
    'password must be at least 8 characters',
    "must have required property 'password'",
    'property token should not exist',
    '✖ Invalid input: expected string, received undefined\n  → at password',
    '"password" contains an invalid value',
  ],
  others: [
    'Host key verification failed: All configured authentication methods failed',
    "Cannot read properties of undefined (reading 'token')",
    'process.env.API_TOKEN is undefined',
    'mkdir -p /var/lib, cp -pr a b, mysql -p, mysqldump -P 3306 -p shop',
    'mysql --port 3306 -h db-prod, ssh -p 22 host',
    'Bearer token is missing, Bearer authentication failed, Bearer is required',
    'connect to mysql at db, use -port 3306',
    'bypass: yes, compass=1',
    'Error: secret not found: "db"',
  ],
}

/** Messages that show `S3cr3t`, and what is shown of them. */
const leaking: Record<string, [message: string, shown: string][]> = {
  Postgres: [
    ["alter role app password 'S3cr3t'", 'alter role app password ***'],
    ['Key (lower(password))=(S3cr3t) already exists.', 'Key (lower(password))=*** already exists.'],
    [
      'Key (id, lower(password::text))=(1, S3cr3t) already exists.',
      'Key (id, lower(password::text))=*** already exists.',
    ],
    [
      "Key (COALESCE(token, ''::text), id)=(S3cr3t, 1) already exists.",
      "Key (COALESCE(token, ''::text), id)=*** already exists.",
    ],
    [
      "Key ((data ->> 'password'::text))=(S3cr3t) already exists.",
      "Key ((data ->> 'password'::text))=*** already exists.",
    ],
    ['Key (db_pass)=(S3cr3t) is not present in table "logins".', 'Key (db_pass)=*** is not present in table "logins".'],
    [
      'Partition key of the failing row contains (lower(token)) = (S3cr3t).',
      'Partition key of the failing row contains (lower(token)) = ***.',
    ],
    [
      'Key (token)=(S3cr3t) conflicts with existing key (token)=(S3cr3t).',
      'Key (token)=*** conflicts with existing key (token)=***.',
    ],
    ['connection to postgres://app:S3cr3t@db/shop failed', 'connection to postgres://app:***@db/shop failed'],
    ['invalid connection option in "host=db password=S3cr3t"', 'invalid connection option in "host=db password=***'],
  ],
  'XML and plists': [
    ['<dbPass>a S3cr3t</dbPass>', '<dbPass>***</dbPass>'],
    ['<DB_PASS>S3cr3t</DB_PASS>', '<DB_PASS>***</DB_PASS>'],
    ['<x:db_pass type="text">S3cr3t x</x:db_pass>', '<x:db_pass type="text">***</x:db_pass>'],
    ['<key>password</key><string>S3cr3t x</string>', '<key>password</key><string>***</string>'],
    ['<key>db_pass</key>\n\t<string>S3cr3t x</string>', '<key>db_pass</key>\n\t<string>***</string>'],
    ['<name>password</name><value>S3cr3t x</value>', '<name>password</name><value>***</value>'],
    [
      '<property name="db.pass"><value>S3cr3t x</value></property>',
      '<property name="db.pass"><value>***</value></property>',
    ],
    ['<Setting Name="smtpPass">S3cr3t x</Setting>', '<Setting Name="smtpPass">***</Setting>'],
    ['<add key="dbPass" value="S3cr3t x"/>', '<add key="dbPass" value=***/>'],
    ['<input name="user_pw" type="text" value="S3cr3t x">', '<input name="user_pw" type="text" value=***>'],
  ],
  'JSON without spaces': [
    ['{"token":12345,"error":"disk full"}', '{"token":***,"error":"disk full"}'],
    ['{"a":[{"pwd":-1.5e3}],"error":"disk full"}', '{"a":[{"pwd":***}],"error":"disk full"}'],
    ['{\\"token\\":12345,\\"error\\":\\"disk full\\"}', '{\\"token\\":***,\\"error\\":\\"disk full\\"}'],
    ['{&quot;token&quot;:12345,&quot;error&quot;:1}', '{&quot;token&quot;:***,&quot;error&quot;:1}'],
    ['{"token":12345S3cr3t,"x', '{"token":***'],
    ['password=12345,S3cr3t x', 'password=*** x'],
    ['token=55,S3cr3t x', 'token=*** x'],
  ],
  'forms and pairs': [
    ['name="db_pass"\r\n\r\nS3cr3t\r\n--x', 'name="db_pass"\r\n\r\n***\r\n--x'],
    ['{"name":"DB_PASS","value":"S3cr3t x"}', '{"name":"DB_PASS","value":***}'],
    ['s:7:"db_pass";s:8:"S3cr3t x";', 's:7:"db_pass";s:8:***;'],
    ['{"auth":{"user":"u","pass":"S3cr3t x"}}', '{"auth":***}'],
    ['db[pass]=S3cr3t', 'db[pass]=***'],
    ['db%5Bpass%5D=S3cr3t', 'db%5Bpass%5D=***'],
    ['db_pass%3DS3cr3t x', 'db_pass%3D*** x'],
    ["auth: { user: 'a', pass: 'S3cr3t' }", "auth: { user: 'a', pass: *** }"],
    ['tokens=S3cr3t', 'tokens=***'],
    ['token=123456', 'token=***'],
  ],
  validators: [
    [
      '"password" with value "S3cr3t x" fails to match the required pattern: /^[a-z]$/',
      '"password" with value *** fails to match the required pattern: /^[a-z]$/',
    ],
    [
      '"user.token" with value "S3cr3t" matches the inverted numbers pattern',
      '"user.token" with value *** matches the inverted numbers pattern',
    ],
    [
      'password must be a `number` type, but the final value was: `NaN` (cast from the value `"S3cr3t x"`).',
      'password must be a `number` type, but the final value was: *** (cast from the value ***).',
    ],
    [
      'user.password must be a `string` type, but the final value was: `{ "a": "\\"S3cr3t\\"" }`.',
      'user.password must be a `string` type, but the final value was: ***.',
    ],
    [
      "password: Invalid enum value. Expected 'a' | 'b', received 'S3cr3t x'",
      "password: Invalid enum value. Expected 'a' | 'b', received ***",
    ],
    [
      'password: Invalid literal value, expected "a", received "S3cr3t"',
      'password: Invalid literal value, expected "a", received ***',
    ],
    [
      "Invalid enum value. Expected 'a' | 'b', received 'S3cr3t' at \"password\"",
      "Invalid enum value. Expected 'a' | 'b', received *** at \"password\"",
    ],
    [
      '✖ Invalid option: expected one of "a"|"b", received "S3cr3t"\n  → at password',
      '✖ Invalid option: expected one of "a"|"b", received ***\n  → at password',
    ],
    [
      '{"received":"S3cr3t x","path":["user","password"],"message":"Expected \'a\', received \'S3cr3t x\'"}',
      '{"received":***,"path":["user","password"],"message":"Expected \'a\', received ***"}',
    ],
    ['password is invalid: got "S3cr3t x"', 'password is invalid: got ***'],
    ['password: got "S3cr3t x"', 'password: got ***'],
    [
      'password must be a `number` type, but the final value was: `NaN` (cast from the value `"S3cr3t"`).; apiKey must be a `number` type, but the final value was: `NaN` (cast from the value `"S3cr3t"`).',
      'password must be a `number` type, but the final value was: *** (cast from the value ***).; apiKey must be a `number` type, but the final value was: *** (cast from the value ***).',
    ],
    [
      'a must be one of, but was: `"b"`.; apiKey must be a `number` type, but was: `"S3cr3t; x"`.; c must be one of, but was: `"d"`.',
      'a must be one of, but was: `"b"`.; apiKey must be a `number` type, but was: ***.; c must be one of, but was: `"d"`.',
    ],
    [
      '"password" with value "S3cr3t; x" fails, "name" with value "b" fails. "apiKey" with value "S3cr3t" fails',
      '"password" with value *** fails, "name" with value "b" fails. "apiKey" with value *** fails',
    ],
    [
      `Invalid, received 'b' at "name"; invalid, received 'S3cr3t' at "password"; invalid, received 'd' at "c"`,
      `Invalid, received 'b' at "name"; invalid, received *** at "password"; invalid, received 'd' at "c"`,
    ],
    [
      '✖ Invalid, received "b"\n  → at name\n✖ Invalid, received "S3cr3t"\n  → at line 2\n  → at password\n✖ Invalid, received "d"\n  → at c',
      '✖ Invalid, received "b"\n  → at name\n✖ Invalid, received ***\n  → at line 2\n  → at password\n✖ Invalid, received "d"\n  → at c',
    ],
    [
      '[{"received":"b","path":["name"]},{"received":"S3cr3t}, {","path":["password"]},{"received":"d","path":["c"]}]',
      '[{"received":"b","path":["name"]},{"received":***,"path":["password"]},{"received":"d","path":["c"]}]',
    ],
    ['{"value":"S3cr3t","property":"password"}', '{"value":***,"property":"password"}'],
    ["{ value: 'S3cr3t x', property: 'password' }", "{ value: ***, property: 'password' }"],
    ['{"value":["S3cr3t"],"property":"password"}', '{"value":***,"property":"password"}'],
    ['{"value":33333,"property":"password"}', '{"value":***,"property":"password"}'],
    [
      '{"type":"field","value":"S3cr3t","msg":"Invalid value","path":"password"}',
      '{"type":"field","value":***,"msg":"Invalid value","path":"password"}',
    ],
    [
      'Cast to Number failed for value "S3cr3t" (type string) at path "password"',
      'Cast to Number failed for value *** (type string) at path "password"',
    ],
    ['Path `password` (`S3cr3t`) is shorter than', 'Path `password` (***) is shorter than'],
    ['Expected `password` to be a text, got `S3cr3t x`', 'Expected `password` to be a text, got ***'],
    ['password: Invalid email address: "S3cr3t x"', 'password: Invalid email address: ***'],
    ['db.password: must be of type String: value was "S3cr3t"', 'db.password: must be of type String: value was ***'],
  ],
  MySQL: [
    ["Duplicate entry 'S3cr3t' for key 'users.password'", "Duplicate entry *** for key 'users.password'"],
    [
      "Incorrect string value: 'S3cr3t' for column `shop`.`users`.`password` at row 1",
      'Incorrect string value: *** for column `shop`.`users`.`password` at row 1',
    ],
  ],
  'texts in JSON': [
    [
      '{"a":"<name>db.password</name>\\n<value>S3cr3t x</value>","b":1}',
      '{"a":"<name>db.password</name>\\n<value>***</value>","b":1}',
    ],
    ['{"a":"- name: DB_PASSWORD\\n  value: S3cr3t\\nuser: y"}', '{"a":"- name: DB_PASSWORD\\n  value: ***\\nuser: y"}'],
    ['{"a":"password: |\\n  a S3cr3t\\nuser: y"}', '{"a":"password: ***\\nuser: y"}'],
  ],
  'what Node shows': [
    [`password: 'a' +\n    "it's S3cr3t" +\n    'S3cr3t',\n user: 'y'`, "password: ***,\n user: 'y'"],
  ],
  headers: [
    ['sent Bearer "S3cr3t" to', 'sent Bearer "***" to'],
    ["sent Bearer 'S3cr3t' to", "sent Bearer '***' to"],
    ['{\\"a\\":\\"Bearer \\\\\\"S3cr3t\\\\\\"\\"}', '{\\"a\\":\\"Bearer \\\\\\"***\\\\\\"\\"}'],
    ['sent Bearer%20S3cr3t to', 'sent Bearer%20*** to'],
    ['auth=Bearer+S3cr3t', 'auth=***'],
    ['"headers":{"authorization":"Bearer S3cr3t"}', '"headers":{"authorization":***}'],
    ['x-api-key: S3cr3t', 'x-api-key: ***'],
    ['X-Api-Key: a b S3cr3t\nHost: h', 'X-Api-Key: ***\nHost: h'],
  ],
  commands: [
    [
      'Command failed: mysqldump -h h -P 3306 -u root -pS3cr3t shop',
      'Command failed: mysqldump -h h -P 3306 -u root -p*** shop',
    ],
    ['mysql -pS3cr3t', 'mysql -p***'],
    ['mysql -uroot -p"S3cr3t x" shop', 'mysql -uroot -p"***" shop'],
    ["mysql -uroot '-pS3cr3t' shop", "mysql -uroot '-p***' shop"],
    ["spawnargs: [ 'mysqldump', '-u', 'root', '-pS3cr3t' ]", "spawnargs: [ 'mysqldump', '-u', 'root', '-p***' ]"],
    ['mariadb-dump -pS3cr3t shop', 'mariadb-dump -p*** shop'],
    ['redis-cli -h h -a S3cr3t ping', 'redis-cli -h h -a *** ping'],
    ['sshpass -p S3cr3t ssh h', 'sshpass -p *** ssh h'],
    ["sshpass -p'S3cr3t x' ssh h", "sshpass -p'***' ssh h"],
    ["docker login -p'S3cr3t' h", "docker login -p'***' h"],
    ['"sshpass -p\\"S3cr3t x\\" ssh h"', '"sshpass -p\\"***" ssh h"'],
    ['ldapsearch -wS3cr3t -x', 'ldapsearch -w*** -x'],
    ['redis-cli -aS3cr3t ping', 'redis-cli -a*** ping'],
    ["[ 'mongodump', '-u', 'a', '-p', 'S3cr3t' ]", "[ 'mongodump', '-u', 'a', '-p', '***' ]"],
    ['docker login -u a -p S3cr3t h', 'docker login -u a -p *** h'],
    ['sqlcmd -S h -U sa -P S3cr3t -Q x', 'sqlcmd -S h -U sa -P *** -Q x'],
    ['ldapsearch -D cn=a -w S3cr3t', 'ldapsearch -D cn=a -w ***'],
    ['keytool -storepass S3cr3t -list', 'keytool -storepass *** -list'],
    ['ENV DB_PASSWORD S3cr3t', 'ENV DB_PASSWORD ***'],
    ['(using password: S3cr3t)', '(using password: ***'],
  ],
}

describe('a message that names a secret and shows none stays as it is', () => {
  it.each(Object.entries(readable).flatMap(([source, texts]) => texts.map((text) => [source, text])))(
    '%s: %s',
    (_, text) => {
      expect(redact(text as string)).toBe(text)
    },
  )
})

describe('a message that shows a secret is redacted', () => {
  it.each(Object.entries(leaking).flatMap(([source, texts]) => texts.map((text) => [source, ...text])))(
    '%s: %s',
    (_, text, shown) => {
      expect(redact(text as string)).toBe(shown)
    },
  )
})

describe('a sentence of a validator that JSON quotes is redacted as it is', () => {
  const quoted = (text: string) => JSON.stringify({ message: text, user: 'y' })
  it.each(leaking.validators as [string, string][])('%s', (text) => {
    for (const told of [quoted(text), quoted(quoted(text))]) {
      const shown = redact(told)
      expect(shown).not.toMatch(/S3c/)
      expect(shown).toContain('***')
      expect(shown).toMatch(/user[\\]*":[\\]*"y/)
    }
  })
})
