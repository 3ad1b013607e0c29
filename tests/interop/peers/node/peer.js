// A peer on Node's zeromq 6: libzmq in a prebuilt addon. The package has no authenticator, so ZAP (RFC 27) is here.
const fs = require("fs"), path = require("path"), readline = require("readline")
const zmq = require("zeromq")

const say = (event, rest) => console.log(JSON.stringify({ event, ...rest }))
const key = (file, name) => fs.readFileSync(file, "utf8").match(`\\n *curve\\r?\\n[^]*? ${name}-key *= *"(.{40})"`)[1]
const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
const z85 = (bytes) => [0, 4, 8, 12, 16, 20, 24, 28].map((at) => [4, 3, 2, 1, 0].map((power) =>
  DIGITS[Math.floor(bytes.readUInt32BE(at) / 85 ** power) % 85]).join("")).join("")
const accepted = (directory) => new Set(fs.readdirSync(directory).filter((name) => name.endsWith(".key"))
  .map((name) => key(path.join(directory, name), "public")))

async function handshakes(socket, refused = () => {}) {
  const outcomes = { "handshake": "succeeded", "handshake:error:auth": "denied" }
  for await (const { type, error } of socket.events) {
    if (!type.startsWith("handshake")) continue
    const outcome = outcomes[type] || "failed"
    say("handshake", { outcome, code: error?.status ?? null })
    if (outcome != "succeeded") refused(outcome == "denied" ? "denied" : "closed")
  }
}

function user(test, keys, [domain, address, , mechanism, ...credentials]) {
  const [name, password] = credentials.map(String)
  if (test.deny?.includes(`${address}`) || test.allow && !test.allow.includes(`${address}`)) return
  if (`${domain}` != (test.domain ?? "") || `${mechanism}` != test.mechanism.toUpperCase()) return
  if (mechanism == "NULL") return ""
  if (mechanism == "PLAIN") return Object.hasOwn(test.users, name) && test.users[name] === password ? name : undefined
  const client = z85(credentials[0])
  return keys.has(client) ? client : undefined
}

// A context that is collected as garbage ends its sockets, and their events never come to an end.
let context

async function server(test, line) {
  context = new zmq.Context()
  let keys = test.mechanism == "curve" ? accepted(test.clients) : new Set()
  // Each with options of its own: the constructor removes `context` from them, and without ZAP in its context libzmq
  // accepts every NULL and CURVE client.
  const zap = new zmq.Reply({ context, linger: 0 })
  const socket = new zmq.Reply({ context, linger: 0, zapDomain: test.domain })
  await zap.bind("inproc://zeromq.zap.01")
  if (test.mechanism == "plain") socket.plainServer = true
  if (test.mechanism == "curve") Object.assign(socket, { curveServer: true, curveSecretKey: key(test.own, "secret") })
  const tasks = [handshakes(socket), (async () => {
    for await (const [version, id, ...request] of zap) {
      const name = user(test, keys, request)
      await zap.send([version, id, ...(name == null ? ["400", "No access", "", ""] : ["200", "OK", name, ""])])
    }
  })()]
  await socket.bind(test.endpoint)
  say("ready", { endpoint: socket.lastEndpoint })
  // The addon hands out a message's bytes, but none of its properties.
  tasks.push((async () => {
    for await (const [body] of socket) {
      say("request", { body: `${body}`, user_id: null, address: null })
      await socket.send("world")
    }
  })())
  for (let next; (next = await line()) && !next.end;) {
    if (test.mechanism == "curve") keys = accepted(test.clients)
    say("reloaded")
  }
  socket.close()
  zap.close()
  await Promise.all(tasks)
}

async function client(test) {
  const socket = new zmq.Request({ linger: 0 })
  if (test.mechanism == "plain") Object.assign(socket, { plainUsername: test.user, plainPassword: test.password })
  if (test.mechanism == "curve") Object.assign(socket, { curveSecretKey: key(test.own, "secret"),
    curvePublicKey: key(test.own, "public"), curveServerKey: key(test.server, "public") })
  let finish
  const timers = [], ending = new Promise((resolve) => { finish = resolve })
  const after = (milliseconds, why) => timers.push(setTimeout(finish, milliseconds, ["no-reply", { why }]))
  const events = handshakes(socket, (why) => after(test.quiet_ms, why))
  after(test.timeout_ms, "timeout")
  const exchange = async () => {
    socket.connect(test.endpoint)
    await socket.send("hello")
    return ["reply", { body: `${await socket.receive()}` }]
  }
  say(...await Promise.race([exchange().catch((error) => ["no-reply", { why: `error: ${error}` }]), ending]))
  timers.forEach(clearTimeout)
  socket.close()
  await events
}

async function main(run) {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const line = async () => JSON.parse((await lines.next()).value ?? "null")
  for (let test; (test = await line());) {
    if (!test.case) continue
    if (["null", "plain", "curve"].includes(test.mechanism)) {
      await run(test, line).catch((error) => say("error", { what: `${error}` }))
    } else say("unsupported", { why: "no such mechanism here" })
    say("done")
  }
}
main({ server, client }[process.argv[2]]).then(() => process.exit())
