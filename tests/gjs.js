// SPDX-License-Identifier: LGPL-2.1-or-later

// Uses the library from GJS. Each test is a name and a function. Nothing here waits for a time to
// pass: every wait is for a condition, and only a failed one takes DEADLINE seconds.

import EasyServers from 'gi://EasyServers?version=0';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import GObject from 'gi://GObject';
import System from 'system';

const DEADLINE = 60;
const HOST = '127.0.0.1';
const ALL_BYTES = Uint8Array.from({length: 256}, (_none, index) => index);
// What is counted takes long under sanitizers, so all of it is done only where that is asked for.
const MANY = GLib.getenv('ES_TEST_LONG') === null ? 60000 : 120000;
const WARM_UP = 20000;

const decoder = new TextDecoder();
const context = GLib.MainContext.default();

function check(condition, what) {
    if (!condition)
        throw new Error(what);
}

function checkEqual(got, expected) {
    const [one, other] = [JSON.stringify(got), JSON.stringify(expected)];

    check(one === other, `expected ${other}, got ${one}`);
}

function checkThrows(text, func) {
    try {
        func();
    } catch (error) {
        check(error.message.includes(text), `expected ${text}, got ${error.message}`);
        return;
    }
    throw new Error(`expected ${text}, got nothing`);
}

// Runs the main context until the condition holds.
function waitUntil(condition) {
    const end = GLib.get_monotonic_time() + DEADLINE * GLib.USEC_PER_SEC;
    const ticker = GLib.timeout_add(GLib.PRIORITY_DEFAULT, 10, () => GLib.SOURCE_CONTINUE);

    while (!condition()) {
        check(GLib.get_monotonic_time() < end, 'waited in vain');
        context.iteration(true);
    }
    GLib.source_remove(ticker);
}

function settle(promise) {
    let result = null;

    promise.then(value => (result = {value}), error => (result = {error}));
    waitUntil(() => result);
    if (result.error)
        throw result.error;
    return result.value;
}

function started(server = new EasyServers.UdpServer({port: 0})) {
    server.start();
    return server;
}

function connected(server) {
    const client = new EasyServers.UdpClient();

    client.connect_to_host(`${HOST}:${server.port}`, 0, null);
    return client;
}

// Calls the function with a server and a client of it, and stops both.
function exchange(func, server = undefined) {
    server = started(server);
    const client = connected(server);

    client.start();
    func(server, client);
    client.stop();
    server.stop();
}

function echo(_server, message, address, send) {
    send(message, address);
}

function listen(endpoint) {
    const heard = [];

    endpoint.connect('message-received', (_endpoint, message) => heard.push(decoder.decode(message)));
    return heard;
}

const tests = {};

tests['A handler gets the server, an Uint8Array, host and port, and a function that sends'] = () =>
    exchange((server, client) => {
        const heard = listen(client);
        const calls = [];

        server.connect('message-received', (...call) => {
            const [, message, address, send] = call;

            check(send(message, address), 'it was not sent');
            calls.push(call);
        });
        client.send('hello');
        waitUntil(() => heard.length === 1);
        const [sender, message, {host, port}] = calls[0];

        check(sender === server, 'another server');
        check(message instanceof Uint8Array, 'no Uint8Array');
        checkEqual([host, port], [HOST, client.get_local_address().port]);
        checkEqual(heard, ['hello']);
    });

tests['All 256 byte values come whole both ways'] = () =>
    exchange((server, client) => {
        let heard = null;

        server.connect('message-received', echo);
        client.connect('message-received', (_client, message) => (heard = message));
        client.send(ALL_BYTES);
        waitUntil(() => heard);
        checkEqual([...heard], [...ALL_BYTES]);
    });

tests['string, Uint8Array, array and GLib.Bytes are sent, the empty ones, too'] = () =>
    exchange((server, client) => {
        const heard = listen(server);
        const kinds = ['a☃', new Uint8Array([98]), [99], new GLib.Bytes([100])];

        kinds.push('', new Uint8Array(), [], new GLib.Bytes(new Uint8Array()));
        kinds.forEach(message => client.send(message));
        checkEqual(client.send_many(kinds), kinds.length);
        client.send_text('text');
        client.send_data(new Uint8Array([101]));
        waitUntil(() => heard.length === 2 * kinds.length + 2);
        const once = ['a☃', 'b', 'c', 'd', '', '', '', ''];

        checkEqual(heard, [...once, ...once, 'text', 'e']);
    });

tests['An object of host and port is an address'] = () =>
    exchange((server, client) => {
        const heard = listen(client);
        const {port} = client.get_local_address();

        server.send('one', {host: HOST, port});
        server.send_many(['two'], {host: HOST, port});
        server.send('three', Gio.InetSocketAddress.new_from_string(HOST, port));
        waitUntil(() => heard.length === 3);
        checkEqual(heard, ['one', 'two', 'three']);
    });

tests['What cannot be sent throws'] = () =>
    exchange(server => {
        checkThrows('localhost is not an IP address', () =>
            server.send('x', {host: 'localhost', port: 9}));
        checkThrows('No address', () => server.send('x'));
        checkThrows('', () => server.send(5, {host: HOST, port: 9}));
    });

tests['A handler is disconnected by its id'] = () =>
    exchange((server, client) => {
        const [first, second] = [[], listen(server)];
        const id = server.connect_after('message_received', (_server, message) =>
            first.push(decoder.decode(message)));

        client.send('1');
        waitUntil(() => first.length === 1);
        server.disconnect(id);
        client.send('2');
        waitUntil(() => second.length === 2);
        checkEqual([first, second], [['1'], ['1', '2']]);
    });

tests['A constructor and a method take a direct handler, and null takes it away'] = () => {
    const heard = [];
    const handler = (_server, message, {host}) => heard.push([decoder.decode(message), host]);

    exchange((server, client) => {
        const last = listen(server);

        client.send('1');
        waitUntil(() => last.length === 1);
        server.set_message_func(null);
        client.send('2');
        waitUntil(() => last.length === 2);
        server.set_message_func(handler);
        client.send('3');
        waitUntil(() => last.length === 3);
        checkEqual(heard, [['1', HOST], ['3', HOST]]);
    }, EasyServers.UdpServer.new_with_handler(0, handler));
};

tests['A client takes a direct handler, too'] = () =>
    exchange(server => {
        const heard = [];
        const client = EasyServers.UdpClient.new_with_handler((_client, message) =>
            heard.push(decoder.decode(message)));

        server.connect('message-received', echo);
        client.send('hello', {host: HOST, port: server.port});
        waitUntil(() => heard.length === 1);
        client.stop();
        checkEqual(heard, ['hello']);
    });

tests['The signal error tells by an error'] = () => {
    const server = started();
    const client = connected(server);
    const errors = [];

    server.stop();
    client.connect('error', (_client, error) => errors.push(error));
    client.send('x');
    waitUntil(() => errors.length === 1);
    client.stop();
    check(errors[0].matches(Gio.io_error_quark(), Gio.IOErrorEnum.CONNECTION_REFUSED), errors[0]);
};

const Shouting = GObject.registerClass(class Shouting extends EasyServers.UdpServer {
    vfunc_message_received(message, address, send) {
        send(`${decoder.decode(message).toUpperCase()} ${address.host}`, address);
    }
});

const ShoutingTwice = GObject.registerClass(class ShoutingTwice extends Shouting {
    vfunc_message_received(message, address, send) {
        super.vfunc_message_received(message, address, send);
        super.vfunc_message_received(message, address, send);
    }
});

tests['A subclass overrides message_received, and one of that chains up'] = () => {
    for (const [klass, times] of [[Shouting, 1], [ShoutingTwice, 2]]) {
        exchange((_server, client) => {
            const heard = listen(client);

            client.send('hello');
            waitUntil(() => heard.length === times);
            checkEqual(heard, Array(times).fill(`HELLO ${HOST}`));
        }, new klass({port: 0}));
    }
};

tests['run() blocks until quit()'] = () => {
    const server = new EasyServers.UdpServer({port: 0});

    GLib.idle_add(GLib.PRIORITY_DEFAULT, () => {
        if (!server.is_running())
            return GLib.SOURCE_CONTINUE;
        server.quit();
        return GLib.SOURCE_REMOVE;
    });
    check(server.run(), 'it failed');
    check(!server.is_running(), 'it still runs');
};

tests['What would need another thread throws, and says why'] = () => {
    const why = 'GJS runs no handler on another thread';
    const server = new EasyServers.UdpServer({port: 0, threaded: false, workers: 1});
    const client = new EasyServers.UdpClient();

    checkThrows(why, () => new EasyServers.UdpServer({threaded: true}));
    checkThrows(why, () => new EasyServers.UdpServer({workers: 2}));
    checkThrows(why, () => new Shouting({threaded: true}));
    checkThrows(why, () => (client.threaded = true));
    checkThrows(why, () => client.set_threaded(true));
    checkThrows(why, () => server.set_property('threaded', true));
    checkThrows(why, () => server.set({threaded: true}));
    checkThrows(why, () => (server.workers = 2));
    checkThrows(why, () => server.set_workers(2));
    checkThrows(why, () => server.create_job('job', () => {}, true));
    server.threaded = false;
    server.workers = 1;
    checkEqual([server.threaded, server.workers], [false, 1]);
};

tests['What was made for threads elsewhere does not start'] = () => {
    const server = new EasyServers.UdpServer({port: 0});

    GObject.Object.prototype.set_property.call(server, 'threaded', true);
    checkThrows('GJS runs no handler on another thread', () => server.start());
    checkThrows('GJS runs no handler on another thread', () => server.run());
};

tests['Connecting gives a promise'] = () =>
    exchange(server => {
        const client = new EasyServers.UdpClient();

        check(settle(client.connect_to_host_async(`${HOST}:${server.port}`, 0, null)), 'it failed');
        checkEqual(client.get_remote_address().port, server.port);
        checkThrows('127.0.0.1:x', () =>
            settle(client.connect_to_host_async('127.0.0.1:x', 0, null)));
    });

if (EasyServers.UdpClient.prototype.request_async) {
    tests['A request gives a promise of an Uint8Array'] = () =>
        exchange((server, client) => {
            server.connect('message-received', echo);
            client.set_match_func((request, response) =>
                decoder.decode(request) === decoder.decode(response));
            const answers = settle(Promise.all([
                client.request_async('one', null),
                client.request_async(ALL_BYTES, null),
            ]));

            checkEqual(answers.map(answer => [...answer]), [[111, 110, 101], [...ALL_BYTES]]);
        });
}

if (EasyServers.UdpServer.prototype.add_peer) {
    tests['Peers are admitted by objects of host and port'] = () =>
        exchange((server, client) => {
            const heard = listen(client);
            const {port} = client.get_local_address();
            const peer = server.add_peer({host: HOST, port});

            checkEqual(peer.get_address().port, port);
            check(server.lookup_peer({host: HOST, port}) === peer, 'another peer');
            checkEqual(server.send_to_peers('all'), 1);
            checkEqual(server.send_to_peers('others', peer), 0);
            waitUntil(() => heard.length === 1);
            checkEqual(heard, ['all']);
        });
}

function readResidentKib() {
    const [, statm] = GLib.file_get_contents('/proc/self/statm');

    return Number(decoder.decode(statm).split(' ')[1]) * 4;
}

// Sends so many, never more at a time than any buffer holds, and hears each again.
function sendMany(client, counter, nMessages) {
    const before = counter.n;
    let sent = 0;

    waitUntil(() => {
        for (; sent < nMessages && sent - (counter.n - before) < 64; sent++)
            client.send(`${sent}`);
        return counter.n - before === nMessages;
    });
}

// By how many KiB that many messages make the process grow.
function measureGrowth(client, counter, nMessages) {
    System.gc();
    const before = readResidentKib();

    sendMany(client, counter, nMessages);
    System.gc();
    return readResidentKib() - before;
}

function checkMany(listenBy) {
    exchange((server, client) => {
        const counter = {n: 0};

        server[listenBy[0]](...listenBy.slice(1), echo);
        client[listenBy[0]](...listenBy.slice(1), () => counter.n++);
        sendMany(client, counter, WARM_UP);
        const growth = Math.min(...[1, 2, 3].map(() => measureGrowth(client, counter, MANY / 3)));
        const told = `the memory grew by ${growth} KiB in ${MANY / 3} messages`;

        print(`# ${told}`);
        // The heap has its ups and downs, of some MiB: what leaks grows in each round. Each message
        // that leaked would take 300 bytes.
        check(growth < MANY / 3 * 140 / 1024, told);
        checkEqual(counter.n, WARM_UP + MANY);
        checkEqual(server.get_stats().messages_received, WARM_UP + MANY);
    });
}

tests['Many messages through the signal\'s handler: none lost, memory flat'] = () =>
    checkMany(['connect', 'message-received']);

tests['Many messages through the direct handler: none lost, memory flat'] = () =>
    checkMany(['set_message_func']);

function run() {
    const entries = Object.entries(tests);

    print(`1..${entries.length}`);
    entries.forEach(([name, func], index) => {
        try {
            func();
            print(`ok ${index + 1} - ${name}`);
        } catch (error) {
            print(`not ok ${index + 1} - ${name}`);
            print(`# ${error.message}\n${error.stack ?? ''}`.trim().replaceAll('\n', '\n# '));
        }
    });
}

run();
