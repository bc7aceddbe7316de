# SPDX-License-Identifier: LGPL-2.1-or-later

"""Uses the library from Python: its own names, and those of python-easyservers.

Each test is a function whose documentation is its name in the TAP output. Nothing here waits for
a time to pass: every wait is for a condition, and only a failed one takes DEADLINE seconds.
"""

import asyncio
import contextlib
import copy
import errno
import gc
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

# Who is started in the background has it ignored, and PyGObject remembers what it was at first.
signal.signal(signal.SIGINT, signal.default_int_handler)

import gi  # noqa: E402

gi.require_version("EasyServers", "0")

from gi.repository import EasyServers, Gio, GLib, GObject  # noqa: E402

import easyservers  # noqa: E402

DEADLINE = 60
ALL_BYTES = bytes(range(256))
# What is counted takes long under sanitizers, so all of it is done only where that is asked for.
MANY = 100000 if "ES_TEST_LONG" in os.environ else 20000
HOST = "127.0.0.1"


class Skip(Exception):
    """A test cannot be done on this host."""


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_equal(got, expected):
    check(got == expected, f"expected {expected!r}, got {got!r}")


@contextlib.contextmanager
def check_raises(kind, text=""):
    try:
        yield
    except kind as error:
        check(text in str(error), f"expected {text!r}, got {error!r}")
        return
    raise AssertionError(f"expected {kind}, got nothing")


@contextlib.contextmanager
def check_io_error(code):
    try:
        yield
    except GLib.Error as error:
        check(error.matches(Gio.io_error_quark(), code), f"expected {code}, got {error!r}")
        return
    raise AssertionError(f"expected {code}, got nothing")


def wait_until(condition, context=None):
    """Runs the main context until the condition holds."""
    context = context or GLib.MainContext.default()
    end = time.monotonic() + DEADLINE
    ticker = GLib.timeout_source_new(10)
    ticker.set_callback(lambda *_arguments: True)
    ticker.attach(context)
    while not condition():
        check(time.monotonic() < end, "waited in vain")
        context.iteration(True)
    ticker.destroy()


def wait_for(condition):
    """Waits for what other threads do."""
    end = time.monotonic() + DEADLINE
    while not condition():
        check(time.monotonic() < end, "waited in vain")
        time.sleep(0.005)


class Stranger:
    """A client that shares no code with the project."""

    def __init__(self, port, host=HOST):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.connect((host, port))
        self.address = self.socket.getsockname()[:2]

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.socket.close()

    def say(self, *messages):
        for message in messages:
            self.socket.send(message)

    def hear(self):
        return self.socket.recv(65536)


class Heard(list):
    """A handler that remembers what it was called with, and is equal to no other."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __call__(self, *arguments):
        self.append(arguments)

    def messages(self):
        return [arguments[1] for arguments in self]


def started(server=None):
    server = server or EasyServers.UdpServer(port=0)
    server.start()
    return server


def connected(server):
    client = EasyServers.UdpClient()
    client.connect_to((HOST, server.get_port()))
    return client


def echo(_server, message, address, send):
    send(message, address)


# Messages and addresses


def test_handler():
    """A handler gets the server, bytes, host and port, and a function that sends"""
    heard = Heard()
    with started() as server, Stranger(server.get_port()) as stranger:
        server.connect("message-received", heard)
        stranger.say(b"hello")
        wait_until(lambda: heard)
        sender, message, address, send = heard[0]
        check(sender is server, f"{sender} is not the server")
        check_equal((type(message), message), (bytes, b"hello"))
        check_equal((address.host, address.port), stranger.address)
        check_equal(address, stranger.address)
        send(b"answer", address)
        check_equal(stranger.hear(), b"answer")


def test_all_bytes():
    """All 256 byte values come whole both ways"""
    heard = Heard()
    with started() as server, connected(server) as client:
        server.connect("message-received", echo)
        client.connect("message-received", heard)
        client.send(ALL_BYTES)
        wait_until(lambda: heard)
        check_equal(heard.messages(), [ALL_BYTES])


def test_kinds_of_messages():
    """bytes, str, bytearray, memoryview and GLib.Bytes are sent, the empty ones, too"""
    heard = Heard()
    kinds = b"a", "\N{SNOWMAN}", bytearray(b"b\0"), memoryview(b"abcd")[::2], GLib.Bytes.new(b"c")
    kinds += b"", "", bytearray(), GLib.Bytes.new(b"")
    with started() as server, connected(server) as client:
        server.connect("message-received", heard)
        for message in kinds:
            client.send(message)
        check_equal(client.send_many(kinds), len(kinds))
        client.send_text("text")
        client.send_data(b"d\0\xff")
        once = [b"a", "\N{SNOWMAN}".encode(), b"b\0", b"ac", b"c"] + 4 * [b""]
        wait_until(lambda: len(heard) == 2 * len(kinds) + 2)
        check_equal(heard.messages(), once + once + [b"text", b"d\0\xff"])


def test_no_messages():
    """What is no message is a TypeError"""
    with started() as server:
        for message in (5, None, ["a"], 1.5):
            with check_raises(TypeError):
                server.send(message, (HOST, 9))


def test_kinds_of_addresses():
    """A tuple, an Address and a Gio.SocketAddress are receivers"""
    with started() as server, Stranger(server.get_port()) as stranger:
        port = stranger.address[1]
        receivers = stranger.address, EasyServers.Address(HOST, port)
        receivers += (Gio.InetSocketAddress.new_from_string(HOST, port),)
        for receiver in receivers:
            server.send(b"x", receiver)
            check_equal(stranger.hear(), b"x")
            server.send_many([b"y"], receiver)
            check_equal(stranger.hear(), b"y")


def test_no_addresses():
    """A name is no address of a receiver, and None is the server of a connected client"""
    with started() as server:
        with check_raises(ValueError, "'localhost' is not an IP address"):
            server.send(b"x", ("localhost", 9))
        with check_io_error(Gio.IOErrorEnum.NOT_CONNECTED):
            server.send(b"x")


def test_address():
    """An address is a tuple, a key, a text, and can be copied"""
    address = EasyServers.Address("::1", 1234)
    check_equal(address, ("::1", 1234))
    check_equal({("::1", 1234): "found"}[address], "found")
    check_equal((str(address), f"{address.host} {address.port}"), ("[::1]:1234", "::1 1234"))
    check_equal(copy.deepcopy(address), address)
    check_equal(pickle.loads(pickle.dumps(address)).socket_address.get_port(), 1234)
    check_equal(EasyServers.address_to_string((HOST, 5)), "127.0.0.1:5")
    check(EasyServers.address_equal(("::1", 1234), address), "equal addresses are not")
    check_equal(EasyServers.address_hash(("::1", 1234)), EasyServers.address_hash(address))
    check_equal(EasyServers.Address("fe80::1%7", 1).socket_address.get_scope_id(), 7)


def test_local_address():
    """Addresses that functions give are tuples, too"""
    with started(EasyServers.UdpServer(port=0, address=HOST)) as server:
        with connected(server) as client:
            check_equal(server.get_local_address(), (HOST, server.get_port()))
            check_equal(server.dup_asked_host(client.get_local_address()), HOST)
            check_equal(client.get_remote_address(), (HOST, server.get_port()))
    check_equal(server.get_local_address(), None)


def test_ipv6():
    """A sender over IPv6 has an IPv6 host, and gets its answer"""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind(("::1", 0))
    except OSError:
        raise Skip("the host has no ::1") from None
    heard = Heard()
    with started() as server, Stranger(server.get_port(), "::1") as stranger:
        server.connect("message-received", heard)
        stranger.say(b"hello")
        wait_until(lambda: heard)
        check_equal(heard[0][2], ("::1", stranger.address[1]))
        heard[0][3]("hi", heard[0][2])
        check_equal(stranger.hear(), b"hi")


# Handlers


def test_user_data():
    """What is given with a handler comes after its arguments"""
    heard, after, direct = Heard(), Heard(), Heard()
    with started() as server, Stranger(server.get_port()) as stranger:
        server.set_message_func(direct, 1, 2)
        server.connect_after("message_received", after, 5)
        server.connect("message-received", heard, 3, "four")
        stranger.say(b"x")
        wait_until(lambda: after)
        check_equal((direct[0][4:], heard[0][4:], after[0][4:]), ((1, 2), (3, "four"), (5,)))
        check_equal({one[0][1] for one in (direct, heard, after)}, {b"x"})


def test_connect_object():
    """connect_object hands over the object in the server's place"""
    heard, thing = Heard(), GObject.Object()
    with started() as server, Stranger(server.get_port()) as stranger:
        server.connect_object("message-received", heard, thing, 1)
        server.connect_object_after("message-received", heard, thing, 2)
        stranger.say(b"x")
        wait_until(lambda: len(heard) == 2)
        check_equal([one[0] for one in heard], [thing, thing])
        check_equal([one[1:2] + one[4:] for one in heard], [(b"x", 1), (b"x", 2)])


def test_disconnect():
    """Handlers are blocked and disconnected by their ids, and by their functions"""
    by_id, by_function, last = Heard(), Heard(), Heard()
    with started() as server, Stranger(server.get_port()) as stranger:
        number = server.connect("message-received", by_id)
        server.connect("message-received", by_function)
        server.connect("message-received", last)
        stranger.say(b"1")
        wait_until(lambda: len(last) == 1)
        server.handler_block(number)
        server.handler_block_by_func(by_function)
        stranger.say(b"2")
        wait_until(lambda: len(last) == 2)
        server.handler_unblock(number)
        server.handler_unblock_by_func(by_function)
        stranger.say(b"3")
        wait_until(lambda: len(last) == 3)
        server.disconnect(number)
        server.disconnect_by_func(by_function)
        stranger.say(b"4")
        wait_until(lambda: len(last) == 4)
        check_equal((by_id.messages(), by_function.messages()), ([b"1", b"3"], [b"1", b"3"]))


def test_other_signals():
    """Handlers of other signals get what they always get"""
    heard = Heard()
    server = EasyServers.UdpServer(port=0)
    server.connect("notify::running", heard, "data")
    server.start()
    server.stop()
    check_equal([(one[0], one[1].name, one[2]) for one in heard], 2 * [(server, "running", "data")])


def test_direct_handler():
    """A constructor and a method take a direct handler, and None takes it away"""
    first, second = Heard(), Heard()

    class Own(EasyServers.UdpServer):
        pass

    server = Own.new_with_handler(0, first, "data")
    check_equal(type(server), Own)
    with started(server), Stranger(server.get_port()) as stranger:
        server.connect("message-received", second)
        stranger.say(b"1")
        wait_until(lambda: len(second) == 1)
        server.set_message_func(None)
        stranger.say(b"2")
        wait_until(lambda: len(second) == 2)
        check_equal([(one[1], one[4]) for one in first], [(b"1", "data")])


def test_client_with_handler():
    """A client takes a direct handler, too"""
    heard = Heard()
    with started() as server:
        server.connect("message-received", echo)
        client = EasyServers.UdpClient.new_with_handler(heard, 1)
        client.send("hello", (HOST, server.get_port()))
        wait_until(lambda: heard)
        check_equal((heard[0][1:3], heard[0][4]), ((b"hello", (HOST, server.get_port())), 1))
        client.stop()


def test_error_signal():
    """The signal error tells by a GLib.Error"""
    heard = Heard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind((HOST, 0))
        port = closed.getsockname()[1]
    client = EasyServers.UdpClient()
    client.connect("error", heard, "data")
    client.connect_to((HOST, port))
    client.send(b"x")
    wait_until(lambda: heard)
    source, error, address, data = heard[0]
    refused = Gio.IOErrorEnum.CONNECTION_REFUSED
    check(error.matches(Gio.io_error_quark(), refused), f"not refused: {error!r}")
    check(address in (None, (HOST, port)), f"another address: {address!r}")
    check_equal((source, data), (client, "data"))
    client.stop()


def test_exception_in_handler():
    """An exception in a handler is told, and the server goes on"""
    heard, told = Heard(), []

    def fail(*_arguments):
        raise ValueError("told")

    hook, sys.excepthook = sys.excepthook, lambda *exception: told.append(exception)
    try:
        with started() as server, Stranger(server.get_port()) as stranger:
            server.connect("message-received", fail)
            server.connect("message-received", heard)
            stranger.say(b"1", b"2")
            wait_until(lambda: len(heard) == 2)
    finally:
        sys.excepthook = hook
    check_equal([str(exception[1]) for exception in told], ["told", "told"])


def test_exceptions_without_end():
    """Exceptions in handlers, however many, cost no message and no reference"""
    n_messages = 10000 if os.environ.get("ES_TEST_LONG") else 500
    told = []

    def fail(*_arguments):
        raise ValueError("told")

    hook, sys.excepthook = sys.excepthook, lambda *exception: told.append(exception[0])
    try:
        with started() as server, Stranger(server.get_port()) as stranger:
            server.connect("message-received", fail)
            for i in range(n_messages):
                stranger.say(b"hello")
                wait_until(lambda: len(told) > i)
            check_equal(server.get_stats().messages_received, n_messages)
    finally:
        sys.excepthook = hook
    check_equal(set(told), {ValueError})


# Subclasses


class Shouting(EasyServers.UdpServer):
    def do_message_received(self, message, address, send):
        super().do_message_received(message, address, send)
        check_equal((type(message), address.host), (bytes, HOST))
        send(message.upper(), address)


class ShoutingTwice(Shouting):
    def do_message_received(self, message, address, send):
        super().do_message_received(message, address, send)
        send(message.upper() + b"!", address)


class Complaining(EasyServers.UdpClient):
    __gsignals__ = {"complained": (GObject.SignalFlags.RUN_LAST, None, (str,))}

    def do_error(self, error, address):
        super().do_error(error, address)
        self.emit("complained", error.message)


def test_subclass():
    """A subclass of UdpServer overrides message_received"""
    with started(Shouting(port=0)) as server, Stranger(server.get_port()) as stranger:
        stranger.say(b"hello")
        wait_until(lambda: server.get_stats().messages_sent == 1)
        check_equal(stranger.hear(), b"HELLO")


def test_subclass_of_subclass():
    """A subclass of that one chains up to it"""
    with started(ShoutingTwice(port=0)) as server, Stranger(server.get_port()) as stranger:
        stranger.say(b"hello")
        wait_until(lambda: server.get_stats().messages_sent == 2)
        check_equal((stranger.hear(), stranger.hear()), (b"HELLO", b"HELLO!"))


def test_subclass_with_signals():
    """A subclass has signals of its own, and overrides error"""
    heard = Heard()
    client = Complaining()
    client.connect("complained", heard)
    with started() as server:
        client.connect_to((HOST, server.get_port()))
    client.send(b"x")
    wait_until(lambda: heard)
    check("refused" in heard[0][1], f"it complained of {heard[0][1]}")
    client.stop()


# Threads, and what blocks


def test_send_from_threads():
    """send may be called from any thread"""
    kept = queue.SimpleQueue()
    with started() as server, Stranger(server.get_port()) as stranger:
        server.connect("message-received", lambda s, m, address, send: kept.put((address, send)))
        stranger.say(b"x")
        wait_until(lambda: not kept.empty())
        address, send = kept.get()
        threads = [
            threading.Thread(target=send, args=(f"{number}", address)) for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers = sorted(stranger.hear() for _ in threads)
        check_equal(answers, [b"%d" % number for number in range(8)])


def test_threaded():
    """A threaded server's handlers run side by side, on other threads"""
    barrier = threading.Barrier(4)
    threads = set()

    def meet(_server, message, address, send):
        threads.add(threading.get_ident())
        barrier.wait(DEADLINE)
        send(message, address)

    server = EasyServers.UdpServer(port=0, threaded=True, max_threads=4)
    server.connect("message-received", meet)
    with started(server), Stranger(server.get_port()) as stranger:
        stranger.say(b"1", b"2", b"3", b"4")
        wait_until(lambda: server.get_stats().messages_sent == 4)
        check_equal(sorted(stranger.hear() for _ in range(4)), [b"1", b"2", b"3", b"4"])
    check_equal(len(threads - {threading.get_ident()}), 4)


def test_job():
    """A job is a function with arguments in a thread, that ends when the server stops"""
    heard = []

    def count(job, server, step, unit):
        number = 0
        while job.sleep(1):
            number += step
            if number == 3 * step:
                heard.append((job.get_name(), server, number, unit, threading.get_ident()))
        heard.append("ended")

    with started() as server:
        job = server.create_job("counter", count, 2, "messages")
        wait_until(lambda: heard)
        check(job.is_running(), "the job has ended")
    check_equal(heard[0][:4], ("counter", server, 6, "messages"))
    check(heard[0][4] != threading.get_ident(), "the job ran in this thread")
    check_equal((heard[1], job.is_running()), ("ended", False))
    later = server.create_job("later", lambda *_arguments: heard.append("later"), start=False)
    later.start()
    later.stop()
    check_equal(heard[2], "later")


def test_with():
    """with starts and stops a server, whatever happens within"""
    server = EasyServers.UdpServer(port=0)
    with contextlib.suppress(KeyError):
        with server as same:
            check(same is server and server.is_running(), "it was not started")
            raise KeyError
    check(not server.is_running(), "it was not stopped")


def test_start_fails():
    """A start that fails is a GLib.Error"""
    with started() as server:
        with check_io_error(Gio.IOErrorEnum.ADDRESS_IN_USE):
            EasyServers.UdpServer(port=server.get_port()).start()


def test_run_and_quit():
    """run() blocks until quit(), from another thread, too"""
    server = EasyServers.UdpServer(port=0)
    thread = threading.Thread(target=lambda: (wait_for(server.is_running), server.quit()))
    thread.start()
    check_equal(server.run(), True)
    thread.join()
    check(not server.is_running(), "it still runs")


def run_in_thread(server, done):
    """Runs a server in a thread and a main context of its own."""

    def run():
        context = GLib.MainContext()
        context.push_thread_default()
        server.run()
        context.pop_thread_default()
        done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(server.is_running)
    return thread


def test_run_in_thread():
    """run() works in another thread and context, too"""
    done = []
    server = EasyServers.UdpServer(port=0)
    server.connect("message-received", echo)
    thread = run_in_thread(server, done)
    with Stranger(server.get_port()) as stranger:
        stranger.say(b"x")
        check_equal(stranger.hear(), b"x")
    server.quit()
    thread.join()
    check_equal(done, [True])


def kill_when_running(server, number):
    def kill():
        wait_for(server.is_running)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_interrupt():
    """Ctrl-C ends run(), which then raises KeyboardInterrupt"""
    server = EasyServers.UdpServer(port=0)
    for _ in range(3):
        thread = kill_when_running(server, signal.SIGINT)
        with check_raises(KeyboardInterrupt):
            server.run()
        thread.join()
        check(not server.is_running(), "it still runs")
        check(signal.getsignal(signal.SIGINT) is signal.default_int_handler, "not as before")
    check_equal(signal.set_wakeup_fd(-1), -1)


def test_signal_handlers():
    """Python's own signal handlers run while run() blocks"""
    server = EasyServers.UdpServer(port=0)
    before = signal.signal(signal.SIGTERM, lambda *_arguments: server.quit())
    thread = kill_when_running(server, signal.SIGTERM)
    check_equal(server.run(), True)
    thread.join()
    signal.signal(signal.SIGTERM, before)


# asyncio


def run_async(coroutine):
    loop = EasyServers.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(coroutine, DEADLINE))
    finally:
        loop.close()


def test_await_connect():
    """Connecting can be awaited, side by side with asyncio's own"""

    async def connect():
        with started() as server:
            client, again = EasyServers.UdpClient(), EasyServers.UdpClient()
            name = f"{HOST}:{server.get_port()}"
            connecting = client.connect_to_host_async(name)
            await asyncio.gather(connecting, asyncio.sleep(0.01), again.connect_to_async((HOST, 9)))
            check_equal(client.get_remote_address(), (HOST, server.get_port()))
            check_equal(again.get_remote_address(), (HOST, 9))

    run_async(connect())


def test_await_error():
    """What cannot be connected to raises where it is awaited"""

    async def fail():
        with check_raises(GLib.Error, "127.0.0.1:x"):
            await EasyServers.UdpClient().connect_to_host_async("127.0.0.1:x")

    run_async(fail())


def test_await_cancel():
    """To cancel what is awaited cancels it in the library"""

    async def cancel():
        cancellable = Gio.Cancellable()
        future = EasyServers.UdpClient().connect_to_async((HOST, 9), cancellable)
        future.cancel()
        with check_raises(asyncio.CancelledError):
            await future
        await asyncio.sleep(0)
        check(cancellable.is_cancelled(), "the library does not know")

    run_async(cancel())


def test_callback():
    """With a callback, asynchronous calls are what they are in GLib"""
    heard = Heard()
    client = EasyServers.UdpClient()
    client.connect_to_async((HOST, 9), None, heard, "data")
    wait_until(lambda: heard)
    check_equal((heard[0][0], heard[0][2]), (client, "data"))
    check_equal(client.connect_to_finish(heard[0][1]), True)


def test_messages_in_asyncio():
    """Handlers are called while asyncio runs, and asyncio's callbacks while GLib does"""

    async def exchange():
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        with started() as server, connected(server) as client:
            server.connect("message-received", echo)
            client.connect("message-received", lambda c, message, a, s: answer.set_result(message))
            loop.call_later(0.001, client.send, "later")
            check_equal(await answer, b"later")
            server.stop()
            client.stop()

    run_async(exchange())


def skip_without_requests():
    if "request" not in dir(EasyServers.UdpClient.__base__):
        raise Skip("the library has no requests")


def test_request():
    """A request takes str and bytes, and gives bytes"""
    skip_without_requests()
    server, done = EasyServers.UdpServer.new_with_handler(0, echo), []
    thread = run_in_thread(server, done)
    with connected(server) as client:
        check_equal(client.request("hello"), b"hello")
        check_equal(client.request(ALL_BYTES), ALL_BYTES)
    server.quit()
    thread.join()


def test_await_request():
    """Requests can be awaited"""
    skip_without_requests()

    async def ask():
        with started(EasyServers.UdpServer.new_with_handler(0, echo)) as server:
            with connected(server) as client:
                client.set_match_func(lambda request, response, *data: request == response)
                names = [f"{number}" for number in range(10)]
                answers = await asyncio.gather(*map(client.request_async, names))
                check_equal(answers, [name.encode() for name in names])

    run_async(ask())


# Peers


def test_peers():
    """Peers are admitted by tuples, and have one"""
    if "add_peer" not in dir(EasyServers.UdpServer.__base__):
        raise Skip("the library has no peers")
    with started() as server, Stranger(server.get_port()) as stranger:
        server.set_keepalive(b"ping", 60000, 3)
        peer = server.add_peer(stranger.address)
        check_equal(peer.get_address(), stranger.address)
        check_equal(server.lookup_peer(stranger.address), peer)
        check_equal(server.send_to_peers("all"), 1)
        check_equal(stranger.hear(), b"all")
        check_equal(server.send_to_peers("others", peer), 0)


# Many messages, and what stays of them


def read_resident_kib():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def exchange(server, client, heard, n_messages):
    """Sends so many, never more at a time than any buffer holds, and hears each again."""
    sent, answered = 0, len(heard)
    end = answered + n_messages
    while len(heard) < end:
        while sent < n_messages and sent - (len(heard) - answered) < 64:
            client.send(b"%d" % sent)
            sent += 1
        GLib.MainContext.default().iteration(True)
    check_equal(len(heard), end)


class Count:
    def __init__(self):
        self.n_messages = 0

    def __len__(self):
        return self.n_messages

    def __call__(self, *_arguments):
        self.n_messages += 1


def check_many(connect):
    heard = Count()
    with started() as server, connected(server) as client:
        connect(server, echo)
        connect(client, heard)
        exchange(server, client, heard, MANY)
        gc.collect()
        before = read_resident_kib()
        exchange(server, client, heard, MANY)
        gc.collect()
        growth = read_resident_kib() - before
        told = f"the memory grew by {growth} KiB in {MANY} messages"
        print(f"# {told}", flush=True)
        check(growth < 1024, told)
        stats = server.get_stats()
        check_equal((stats.messages_received, stats.messages_sent), (2 * MANY, 2 * MANY))


def test_many_by_signal():
    """Many messages through the signal's handler: none lost, memory flat"""
    check_many(lambda endpoint, handler: endpoint.connect("message-received", handler))


def test_many_by_direct_handler():
    """Many messages through the direct handler: none lost, memory flat"""
    check_many(lambda endpoint, handler: endpoint.set_message_func(handler))


def test_many_senders():
    """The addresses of 3000 senders leave the memory flat, and each gets its own answer"""
    with started() as server:
        server.connect("message-received", echo)
        for number in range(3000):
            with Stranger(server.get_port()) as stranger:
                stranger.say(b"%d" % number)
                wait_until(lambda: server.get_stats().messages_sent == number + 1)
                check_equal(stranger.hear(), b"%d" % number)


def test_objects_die():
    """Servers and clients go when nobody knows them any more"""
    gone = []
    heard = Heard()
    for direct in (False, True):
        server = started()
        client = connected(server)
        if direct:
            server.set_message_func(echo)
            client.set_message_func(heard)
        else:
            server.connect("message-received", echo)
            client.connect("message-received", heard)
        client.send(b"x")
        wait_until(lambda: heard)
        server.weak_ref(gone.append, "server")
        client.weak_ref(gone.append, "client")
        heard.clear()
        del server, client
        gc.collect()
        wait_until(lambda: len(gone) == 2)
        gone.clear()


# python-easyservers


@contextlib.contextmanager
def running(server):
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def echo_text(message, address, send):
    send(message, address)


def test_module():
    """easyservers: a handler gets a str, a tuple and send, as in python-easyservers"""
    heard = Heard()

    def handle(message, address, send):
        heard(message, address)
        send(message, address)
        server.send("again", address)

    server = easyservers.UDPServer(handle, port=0)
    with running(server), Stranger(server.port) as stranger:
        stranger.say("h\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode())
        check_equal(stranger.hear().decode(), "h\N{LATIN SMALL LETTER O WITH DIAERESIS}")
        check_equal(stranger.hear(), b"again")
    message, address = heard[0]
    check_equal((type(message), address), (str, stranger.address))
    host, port = address
    check_equal({(host, port): "known"}[address], "known")


def test_module_all_bytes():
    """easyservers: all 256 byte values come back as they were"""
    server = easyservers.UDPServer(echo_text, port=0)
    with running(server), Stranger(server.port) as stranger:
        stranger.say(ALL_BYTES)
        check_equal(stranger.hear(), ALL_BYTES)


def test_module_client():
    """easyservers: a client's handler is called in the background, with send if it takes it"""
    heard = queue.SimpleQueue()
    server = easyservers.UDPServer(echo_text, port=0)
    with running(server):
        two = easyservers.UDPClient(lambda message, address: heard.put((message, address)))
        two.send("two", (HOST, server.port))
        check_equal(heard.get(timeout=DEADLINE), ("two", (HOST, server.port)))
        three = easyservers.UDPClient(lambda message, address, send: heard.put((message, send)))
        three.send(b"three", (HOST, server.port))
        check_equal(heard.get(timeout=DEADLINE), ("three", three.send))
        two.stop()
        three.stop()


def test_module_name():
    """easyservers: a host may be given by its name"""
    try:
        socket.gethostbyname("localhost")
    except socket.gaierror:
        raise Skip("the host does not know localhost") from None
    heard = queue.SimpleQueue()
    with running(easyservers.UDPServer(echo_text, port=0)) as server:
        client = easyservers.UDPClient(lambda message, address: heard.put(message))
        client.send("hello", ("localhost", server.port))
        check_equal(heard.get(timeout=DEADLINE), "hello")
        client.stop()


def test_module_waiting():
    """easyservers: a server owns its port at once, and what comes before run() is not lost"""
    server = easyservers.UDPServer(echo_text, port=0)
    with Stranger(server.port) as stranger:
        stranger.say(b"early")
        with running(server):
            check_equal(stranger.hear(), b"early")


def test_module_unthreaded():
    """easyservers: threaded=False handles in run()'s thread, in order"""
    heard = Heard()

    def handle(message, address, send):
        heard(message, threading.get_ident())
        if len(heard) == 50:
            server.stop()

    server = easyservers.UDPServer(handle, port=0, threaded=False)
    with Stranger(server.port) as stranger:
        stranger.say(*[b"%d" % number for number in range(50)])
        server.run()
    check_equal(list(heard), [(str(number), threading.get_ident()) for number in range(50)])


def test_module_threads():
    """easyservers: handlers that block hold up no other, up to max_threads"""
    barrier = threading.Barrier(20)

    def handle(message, address, send):
        barrier.wait(DEADLINE)
        send(message, address)

    server = easyservers.UDPServer(handle, port=0, max_threads=20)
    with running(server), Stranger(server.port) as stranger:
        for number in range(20):
            stranger.say(b"%d" % number)
        check_equal(len({stranger.hear() for _ in range(20)}), 20)


def test_module_crowd():
    """easyservers: while all threads are busy, reading rests, and nothing is lost"""
    gate = threading.Event()
    heard = Heard()

    def handle(message, address, send):
        gate.wait(DEADLINE)
        heard(message)

    server = easyservers.UDPServer(handle, port=0, max_threads=2)
    endpoint = server._endpoint  # pylint: disable=protected-access
    with running(server), Stranger(server.port) as stranger:
        for number in range(3000):
            stranger.say(b"%d" % number)
        wait_for(endpoint.get_paused)
        check(endpoint.get_stats().messages_received < 1500, "it reads on")
        gate.set()
        wait_for(lambda: len(heard) == 3000)
        check_equal({int(one[0]) for one in heard}, set(range(3000)))


def test_module_errors():
    """easyservers: what goes wrong is an OSError"""
    server = easyservers.UDPServer(echo_text, port=0)
    try:
        easyservers.UDPServer(echo_text, port=server.port)
        raise AssertionError("two servers on one port")
    except OSError as error:
        check_equal(error.errno, errno.EADDRINUSE)
    client = easyservers.UDPClient(print)
    with check_raises(OSError, "65507"):
        client.send(70000 * "x", (HOST, 9))
    with check_raises(socket.gaierror):
        client.send("x", ("no.such.host.invalid", 9))
    client.stop()
    with check_raises(OSError, "It was stopped"):
        client.send("x", (HOST, 9))
    server.stop()


def test_module_exception():
    """easyservers: an exception in a handler is told, and the server goes on"""
    program = """
from easyservers import UDPServer
def handle(message, address, send):
    raise ValueError(message)
server = UDPServer(handle, port=0, threaded=False)
print(server.port, flush=True)
server.run()
"""
    with Program(program) as running_program:
        with Stranger(int(running_program.read_line())) as stranger:
            stranger.say(b"first", b"second")
            running_program.read_error("ValueError: first")
            running_program.read_error("ValueError: second")


class Program:
    """A Python program of its own."""

    def __init__(self, text):
        self.process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.process.kill()
        self.process.communicate()

    def read_line(self):
        return self.process.stdout.readline().rstrip("\n")

    def read_error(self, expected):
        for line in self.process.stderr:
            if line.rstrip("\n") == expected:
                return
        raise AssertionError(f"it never says {expected!r}")

    def wait(self):
        self.process.wait(DEADLINE)
        return self.process.returncode


ENDLESS = """
import sys, time
from easyservers import UDPClient, UDPServer

def handle(message, address, send):
    print("handled", flush=True)
    while 1:
        time.sleep(1000)

def loop(thing):
    while 1:
        time.sleep(1000)

server = UDPServer(handle, port=0)
client = UDPClient(print)
server.create_thread(loop, (server,))
thread = server.create_thread(loop, args=[client], kwargs={}, start=False)
thread.start()
client.send("hello", ("127.0.0.1", server.port))
"""


def test_module_interrupt():
    """easyservers: Ctrl-C ends a program whose threads and handlers loop for ever"""
    with Program(ENDLESS + "server.run()\n") as program:
        check_equal(program.read_line(), "handled")
        program.process.send_signal(signal.SIGINT)
        check_equal(program.wait(), -signal.SIGINT)
        check("KeyboardInterrupt" in program.process.stderr.read(), "not interrupted")


def test_module_end():
    """easyservers: a program ends although its threads and handlers loop for ever"""
    text = ENDLESS.replace('print("handled", flush=True)', "server.stop()")
    with Program(text + "server.run()\nprint('ended')\n") as program:
        check_equal((program.wait(), program.read_line()), (0, "ended"))


# The chat server of python-easyservers' own introduction, shortened, with its import replaced.
CHAT = """
from easyservers import UDPServer
import time

logged_in_users = []

def server_handle(msg, addr, send):
    parts = msg.split()
    sender = None
    for user, user_address, ping_counter in logged_in_users:
        if user_address == addr:
            sender = user
    if parts[0] == "JOIN":
        logged_in_users.append([msg[len(parts[0])+1:], addr, 0])
        send("JOK", addr)
    elif parts[0] == "MSGA":
        _msg = "(%s) " % sender + " ".join(parts[1:])
        for user, user_address, ping_counter in logged_in_users:
            send(_msg, user_address)
    elif parts[0] == "PONG":
        for i in range(len(logged_in_users)):
            if logged_in_users[i][1] == addr:
                logged_in_users[i][2] = 0

def ping_clients(server):
    while 1:
        for i in range(len(logged_in_users)):
            server.send("PING", logged_in_users[i][1])
            logged_in_users[i][2] += 1
        time.sleep(0.01)

if __name__ == '__main__':
    server = UDPServer(server_handle, port=0)
    server.create_thread(ping_clients, (server,))
    print(server.port, flush=True)
    server.run()
"""


def hear_but_pings(stranger):
    while (message := stranger.hear()) == b"PING":
        stranger.say(b"PONG")
    return message


def test_module_chat():
    """easyservers: a chat written for python-easyservers runs"""
    with Program(CHAT) as program:
        port = int(program.read_line())
        with Stranger(port) as ada, Stranger(port) as bob:
            for stranger, name in ((ada, b"ada"), (bob, b"bob")):
                stranger.say(b"JOIN " + name)
                check_equal(hear_but_pings(stranger), b"JOK")
            ada.say(b"MSGA hello all")
            check_equal(hear_but_pings(ada), b"(ada) hello all")
            check_equal(hear_but_pings(bob), b"(ada) hello all")


# The run


def run(number, name, test):
    description = f"{number} - {test.__doc__.splitlines()[0]}"
    try:
        test()
        print(f"ok {description}", flush=True)
    except Skip as reason:
        print(f"ok {description} # SKIP {reason}", flush=True)
    except Exception:  # pylint: disable=broad-except
        print(f"not ok {description}")
        for line in traceback.format_exc().splitlines():
            print(f"# {name}: {line}", flush=True)


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    only = sys.argv[1:]
    tests = [(name, test) for name, test in tests if not only or name in only]
    print(f"1..{len(tests)}", flush=True)
    for number, (name, test) in enumerate(tests, 1):
        run(number, name, test)


main()
