// SPDX-License-Identifier: LGPL-2.1-or-later

// Makes EasyServers natural in GJS.
//
// Messages are Uint8Array: handlers get them, and every function that wants a message takes one, a
// GLib.Bytes, or a string, which is sent as UTF-8.
//
// An address is a Gio.InetSocketAddress, with a host beside its port. Every function that wants an
// address takes an object of host and port, too.
//
// The fourth thing that a handler is given, send, is a function of a message and an address.
//
// GJS runs no handler on another thread, so what would need that throws.

/* exported _init */

const {Gio, GLib, GObject} = imports.gi;
const System = imports.system;

const MAX_MESSAGES_BETWEEN_COLLECTIONS = 4096;
const MAX_SHARE_OF_COLLECTIONS = 0.1;

const encoder = new TextEncoder();

function toBytes(message) {
    if (message instanceof GLib.Bytes)
        return message;
    return new GLib.Bytes(typeof message === 'string' ? encoder.encode(message) : message);
}

function fromBytes(message) {
    return message instanceof GLib.Bytes ? message.toArray() : message;
}

function toAddress(address) {
    if (!address || address instanceof Gio.SocketAddress)
        return address ?? null;

    const {host, port} = address;
    if (!GLib.hostname_is_ip_address(`${host}`))
        throw new TypeError(`${host} is not an IP address`);
    return Gio.InetSocketAddress.new_from_string(host, port);
}

// Between the steps of a collection that GJS does bit by bit, it calls no handler, and what was to
// be handled is lost. It begins one by itself when there is much to collect, so that never comes to
// be: all is collected at once before.
let nMessages = 0;
let nextCollection = 0;

function collectInTime() {
    if (++nMessages < MAX_MESSAGES_BETWEEN_COLLECTIONS)
        return;

    const begun = GLib.get_monotonic_time();
    if (begun < nextCollection)
        return;

    System.gc();
    const ended = GLib.get_monotonic_time();

    nMessages = 0;
    nextCollection = ended + (ended - begun) / MAX_SHARE_OF_COLLECTIONS;
}

function toHandler(handler) {
    return function (endpoint, message, address, _send, ...rest) {
        const send = (answer, receiver) => endpoint.send(answer, receiver);

        collectInTime();
        return handler.call(this, endpoint, fromBytes(message), address, send, ...rest);
    };
}

function toMatch(match) {
    return (request, response) => match(fromBytes(request), fromBytes(response));
}

// Replaces a method by one that is given the original first, where the library has it.
function replace(klass, name, method) {
    const original = klass.prototype[name];

    if (original) {
        klass.prototype[name] = function (...args) {
            return method.call(this, original.bind(this), ...args);
        };
    }
}

function isMessageReceived(signal) {
    return signal.replaceAll('_', '-') === 'message-received';
}

function refuse(what) {
    throw new Error(`GJS runs no handler on another thread: ${what}`);
}

function checkProperties(properties) {
    if (properties?.threaded)
        refuse('threaded cannot be set');
    if (properties?.workers > 1)
        refuse('there is one worker');
}

function checkThreads(endpoint) {
    checkProperties({
        threaded: endpoint.get_threaded(),
        workers: endpoint.get_workers?.() ?? 1,
    });
}

function addEndpoint({Endpoint}) {
    for (const connect of ['connect', 'connect_after']) {
        replace(Endpoint, connect, (original, signal, handler) =>
            original(signal, isMessageReceived(signal) ? toHandler(handler) : handler));
    }
    replace(Endpoint, 'set_message_func', (original, handler) =>
        original(handler ? toHandler(handler) : null));

    replace(Endpoint, 'send', (original, message, address) =>
        original(toBytes(message), toAddress(address)));
    replace(Endpoint, 'send_text', (original, text, address) =>
        original(text, toAddress(address)));
    replace(Endpoint, 'send_data', (original, data, address) =>
        original(data, toAddress(address)));
    replace(Endpoint, 'dup_asked_host', (original, sender) => original(toAddress(sender)));
    replace(Endpoint, 'send_many', (original, messages, address) =>
        original(messages.map(toBytes), toAddress(address)));
}

// What a subclass defines is called by the library, or by a subclass of its own that chains up.
function wrapVfunc({prototype}) {
    if (!Object.hasOwn(prototype, 'vfunc_message_received'))
        return;

    const handle = prototype.vfunc_message_received;

    prototype.vfunc_message_received = function (message, address, send) {
        send ??= (answer, receiver) => this.send(answer, receiver);
        collectInTime();
        handle.call(this, fromBytes(message), address, send);
    };
}

function addSubclasses({Endpoint}) {
    Endpoint._classInit = klass => {
        wrapVfunc(klass);
        return GObject.Object._classInit(klass);
    };
}

function forbidThreads({Endpoint, UdpServer}) {
    Endpoint.prototype._init = function (properties = {}, ...args) {
        checkProperties(properties);
        return GObject.Object.prototype._init.call(this, properties, ...args);
    };
    replace(Endpoint, 'set', function (original, properties) {
        checkProperties(properties);
        original(properties);
    });
    replace(Endpoint, 'set_property', function (original, name, value) {
        checkProperties({[name]: value});
        original(name, value);
    });
    for (const [klass, name] of [[Endpoint, 'threaded'], [UdpServer, 'workers']]) {
        replace(klass, `set_${name}`, (original, value) => {
            checkProperties({[name]: value});
            original(value);
        });
        Object.defineProperty(klass.prototype, name, {
            get() {
                return this[`get_${name}`]();
            },
            set(value) {
                this[`set_${name}`](value);
            },
            configurable: true,
            enumerable: true,
        });
    }
    for (const begin of ['start', 'run']) {
        replace(Endpoint, begin, function (original) {
            checkThreads(this);
            return original();
        });
    }
    replace(Endpoint, 'create_job', () => refuse('there are no jobs'));
}

function addServer({UdpServer}) {
    const {new_with_handler} = UdpServer;

    UdpServer.new_with_handler = (port, handler) =>
        new_with_handler.call(UdpServer, port, toHandler(handler));

    replace(UdpServer, 'set_keepalive', (original, ping, ...rest) =>
        original(ping === null ? null : toBytes(ping), ...rest));
    for (const name of ['add_peer', 'lookup_peer'])
        replace(UdpServer, name, (original, address) => original(toAddress(address)));
    replace(UdpServer, 'send_to_peers', (original, message, except = null) =>
        original(toBytes(message), except));
}

function addClient({UdpClient}) {
    const {new_with_handler} = UdpClient;

    UdpClient.new_with_handler = handler =>
        new_with_handler.call(UdpClient, toHandler(handler));

    for (const name of ['request', 'request_async']) {
        replace(UdpClient, name, (original, request, ...rest) =>
            fromBytes(original(toBytes(request), ...rest)));
    }
    replace(UdpClient, 'request_finish', (original, result) => fromBytes(original(result)));
    replace(UdpClient, 'set_match_func', (original, match) =>
        original(match ? toMatch(match) : null));
    for (const name of ['connect_to', 'connect_to_host', 'request']) {
        if (UdpClient.prototype[`${name}_async`])
            Gio._promisify(UdpClient.prototype, `${name}_async`, `${name}_finish`);
    }
}

function addHost() {
    if ('host' in Gio.InetSocketAddress.prototype)
        return;

    Object.defineProperty(Gio.InetSocketAddress.prototype, 'host', {
        get() {
            return this.get_address().to_string();
        },
        configurable: true,
    });
}

function _init() {
    addEndpoint(this);
    addSubclasses(this);
    forbidThreads(this);
    addServer(this);
    addClient(this);
    addHost();
}
