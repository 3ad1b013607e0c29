// A peer on JeroMQ: ZMTP and CURVE in Java alone, with its own authenticator (ZAuth) and certificates (ZCert, ZCertStore).

import java.nio.file.Files
import java.nio.file.Path
import java.util.Properties
import java.util.concurrent.LinkedBlockingQueue
import kotlin.concurrent.thread
import kotlin.system.exitProcess
import kotlinx.serialization.json.*
import org.zeromq.*
import org.zeromq.ZMonitor.Event

// JeroMQ prints messages of its own: they go to the log.
val output = System.out.also { System.setOut(System.err) }
val lines = LinkedBlockingQueue<JsonObject>()
val end = JsonObject(mapOf("end" to JsonPrimitive("")))

fun JsonObject.text(name: String) = getValue(name).jsonPrimitive.content
fun say(event: String, vararg rest: Pair<String, Any?>) = output.println(JsonObject(mapOf("event" to JsonPrimitive(event)) +
    rest.associate { (name, value) -> name to if (value is Int) JsonPrimitive(value) else JsonPrimitive(value as String?) }))
fun key(file: String, name: String) = ZConfig.load(file).getValue("curve/$name-key").toByteArray()

/** Prints what the stack says about handshakes; the answer is why the first of them ended badly. */
fun handshakes(monitor: ZMonitor): String? = generateSequence { monitor.nextEvent(false) }.mapNotNull { event ->
    System.err.println(event)
    val denied = event.type == Event.HANDSHAKE_FAILED_AUTH
    val outcome = if (event.type == Event.HANDSHAKE_SUCCEEDED) "succeeded" else if (denied) "denied" else "failed"
    say("handshake", "outcome" to outcome, "code" to if (denied) event.value?.toIntOrNull() else null)
    if (denied) "denied" else if (outcome == "failed") "closed" else null
}.toList().firstOrNull()

fun watch(context: ZContext, socket: ZMQ.Socket) = ZMonitor(context, socket).verbose(false).add(Event.HANDSHAKE_SUCCEEDED,
    Event.HANDSHAKE_FAILED_AUTH, Event.HANDSHAKE_FAILED_PROTOCOL, Event.HANDSHAKE_FAILED_NO_DETAIL).start()

/** ZAuth reads passwords from a file alone, and one that changed less than a second ago not at all. */
fun passwords(auth: ZAuth, domain: String, users: JsonObject) {
    val file = Files.createTempFile("zmq-auth-peer", null).toFile()
    val properties = Properties().apply { users.forEach { (user, password) -> put(user, password.jsonPrimitive.content) } }
    file.writer().use { properties.store(it, null) }
    file.setLastModified(System.currentTimeMillis() - 10_000)
    auth.configurePlain(domain, file.path)
    file.delete()
}

fun server(test: JsonObject, context: ZContext) {
    val auth = ZAuth(context)
    test["allow"]?.jsonArray?.forEach { auth.allow(it.jsonPrimitive.content) }
    test["deny"]?.jsonArray?.forEach { auth.deny(it.jsonPrimitive.content) }
    val socket = context.createSocket(SocketType.REP)
    socket.setZAPDomain(test.text("domain"))
    when (test.text("mechanism")) {
        "plain" -> { socket.setPlainServer(true); passwords(auth, test.text("domain"), test.getValue("users").jsonObject) }
        "curve" -> {
            socket.setCurveServer(true)
            socket.setCurvePublicKey(key(test.text("own"), "public"))
            socket.setCurveSecretKey(key(test.text("own"), "secret"))
            auth.configureCurve(test.text("clients"))
        }
    }
    val monitor = watch(context, socket)
    socket.bind(test.text("endpoint"))
    say("ready", "endpoint" to socket.lastEndpoint)
    val poller = context.createPoller(1).apply { register(socket, ZMQ.Poller.POLLIN) }
    while (true) {
        if (poller.poll(5) > 0) {
            val message = socket.base().recv(0)
            val metadata = message.metadata
            say("request", "body" to String(message.data()), "user_id" to metadata?.get("User-Id"),
                "address" to metadata?.get("Peer-Address"))
            socket.send("world")
        }
        handshakes(monitor)
        val next = lines.poll() ?: continue
        if (next === end) lines.put(end)
        if ("end" in next) break
        if (test.text("mechanism") == "curve") auth.configureCurve(test.text("clients"))
        say("reloaded")
    }
    handshakes(monitor)
    monitor.close()
    auth.close()
}

fun client(test: JsonObject, context: ZContext) {
    val socket = context.createSocket(SocketType.REQ)
    when (test.text("mechanism")) {
        "plain" -> { socket.setPlainUsername(test.text("user")); socket.setPlainPassword(test.text("password")) }
        "curve" -> {
            socket.setCurvePublicKey(key(test.text("own"), "public"))
            socket.setCurveSecretKey(key(test.text("own"), "secret"))
            socket.setCurveServerKey(key(test.text("server"), "public"))
        }
    }
    // JeroMQ 0.6.0 stops in the middle of some handshakes until this time is over (30 s by default); then it connects
    // again.
    socket.setHandshakeIvl(500)
    val monitor = watch(context, socket)
    socket.connect(test.text("endpoint"))
    socket.send("hello")
    val after = { name: String -> System.nanoTime() + test.text(name).toLong() * 1_000_000 }
    val poller = context.createPoller(1).apply { register(socket, ZMQ.Poller.POLLIN) }
    var (why, end) = "timeout" to after("timeout_ms")
    var replied = false
    while (!replied && System.nanoTime() < end) {
        replied = poller.poll(5) > 0
        val reason = handshakes(monitor) ?: continue
        if (why == "timeout") { why = reason; end = after("quiet_ms") }
    }
    if (replied) say("reply", "body" to socket.recvStr()) else say("no-reply", "why" to why)
    handshakes(monitor)
    monitor.close()
}

fun makeCertificate(directory: String, name: String, metadata: List<String>) {
    val certificate = ZCert()
    metadata.forEach { certificate.setMeta(it.substringBefore('='), it.substringAfter('=')) }
    certificate.savePublic("$directory/$name.key")
    certificate.saveSecret("$directory/$name.key_secret")
    output.println(JsonObject(mapOf("public" to JsonPrimitive(certificate.publicKeyAsZ85))))
}

/** ZCert reads no files. ZCertStore reads a directory, metadata too; secret keys are had from ZConfig alone. */
fun readCertificate(file: String) {
    val config = ZConfig.load(file)
    val public = config.getValue("curve/public-key")
    val directory = Files.createTempDirectory("zmq-auth-peer")
    try {
        Files.copy(Path.of(file), directory.resolve("certificate"))
        val store = ZCertStore(directory.toString())
        check(store.containsPublicKey(public)) { "the store doesn't have it" }
        val metadata = store.getMetadata(public)
        output.println(JsonObject(mapOf("public" to JsonPrimitive(public),
            "has_secret" to JsonPrimitive(config.getValue("curve/secret-key") != null),
            "metadata" to JsonObject(metadata?.keySet().orEmpty().associateWith { JsonPrimitive(metadata.get(it)) }))))
    } finally { directory.toFile().deleteRecursively() }
}

fun main(arguments: Array<String>) {
    when (arguments[0]) {
        "make-certificate" -> return makeCertificate(arguments[1], arguments[2], arguments.drop(3))
        "read-certificate" -> return readCertificate(arguments[1])
    }
    thread(isDaemon = true) {
        generateSequence(::readLine).forEach { lines.put(Json.parseToJsonElement(it).jsonObject) }
        lines.put(end)
    }
    val run = if (arguments[0] == "server") ::server else ::client
    while (true) {
        val test = lines.take()
        if (test === end) exitProcess(0)
        if ("case" !in test) continue
        try {
            if (test.text("mechanism") !in setOf("null", "plain", "curve")) say("unsupported", "why" to "no such mechanism here")
            else ZContext().use { it.linger = 0; run(test, it) }
        } catch (error: Exception) { say("error", "what" to "$error") }
        say("done")
    }
}
