# SPDX-License-Identifier: LGPL-2.1-or-later

"""Makes EasyServers natural in Python.

Messages are bytes: handlers get them, and every function that wants a message takes bytes, anything
like them, or a str, which is sent as UTF-8.

Addresses are Address: the tuple (host, port), as the module socket has it. Every function that
wants an address takes such a tuple or a Gio.SocketAddress.

The third thing that a handler is given, send, is the endpoint's own method: a function of a message
and an address, to be called from any thread.
"""

import asyncio
import contextlib
import functools
import selectors
import signal
import socket
import threading

from gi._ossighelper import sigint_handler_is_default
from gi.module import get_introspection_module
from gi.overrides import override
from gi.repository import Gio, GLib

EasyServers = get_introspection_module("EasyServers")

__all__ = ["Address", "new_event_loop"]

_MAX_REMEMBERED = 1024


# Messages


def _to_bytes(message):
    if isinstance(message, GLib.Bytes):
        return message
    if isinstance(message, str):
        return GLib.Bytes.new(message.encode())
    return GLib.Bytes.new(bytes(memoryview(message)))


def _from_bytes(message):
    return message.get_data() if isinstance(message, GLib.Bytes) else message


# Addresses


class Address(tuple):
    """An IP address and a port, equal to the tuple of both. A Unix address has its path as host."""

    def __new__(cls, host, port):
        self = super().__new__(cls, (host, port))
        self._socket_address = None
        return self

    def __reduce__(self):
        return Address, tuple(self)

    def __str__(self):
        return EasyServers.address_to_string(self.socket_address)

    @property
    def host(self):
        return self[0]

    @property
    def port(self):
        return self[1]

    @property
    def socket_address(self):
        """The Gio.SocketAddress. That of a sender knows which of our addresses it has reached."""
        return self._socket_address or _parse(*self)


@functools.lru_cache(_MAX_REMEMBERED)
def _parse(host, port):
    if not GLib.hostname_is_ip_address(host.partition("%")[0]):
        raise ValueError(f"{host!r} is not an IP address")
    return Gio.InetSocketAddress.new_from_string(host, port)


def _describe(address):
    if address.get_family() == Gio.SocketFamily.UNIX:
        return Address(address.get_path(), 0)
    host = address.get_address().to_string()
    scope = address.get_scope_id() if ":" in host else 0
    return Address(f"{host}%{scope}" if scope else host, address.get_port())


_addresses = {}


def _from_socket_address(address):
    if not isinstance(address, Gio.SocketAddress):
        return address
    known = _addresses.get(address)
    if known is None:
        known = _describe(address)
        known._socket_address = address
        if len(_addresses) >= _MAX_REMEMBERED:
            _addresses.clear()
        _addresses[address] = known
    return known


def _to_socket_address(address):
    if isinstance(address, Address):
        return address.socket_address
    return _parse(*address) if isinstance(address, tuple) else address


def _to_connectable(server):
    if isinstance(server, Address) or not isinstance(server, tuple):
        return _to_socket_address(server)
    return Gio.NetworkAddress.new(*server)


@override(EasyServers.address_to_string)
def address_to_string(address):
    return EasyServers.address_to_string(_to_socket_address(address))


@override(EasyServers.address_equal)
def address_equal(a, b):
    return EasyServers.address_equal(_to_socket_address(a), _to_socket_address(b))


@override(EasyServers.address_hash)
def address_hash(address):
    return EasyServers.address_hash(_to_socket_address(address))


@override(EasyServers.message_dup_text)
def message_dup_text(message):
    return EasyServers.message_dup_text(_to_bytes(message))


# Handlers


class _Handler:
    """A handler of a signal, equal to the function it calls, so that disconnect_by_func finds it."""

    __slots__ = ("function", "replacement")

    def __init__(self, function, replacement=None):
        self.function = function
        self.replacement = replacement

    def __eq__(self, other):
        return self.function == (other.function if isinstance(other, _Handler) else other)

    def __hash__(self):
        return hash(self.function)


class _MessageHandler(_Handler):
    __slots__ = ()

    def __call__(self, endpoint, message, address, _send, *user_data):
        return self.function(
            self.replacement or endpoint,
            message.get_data(),
            _from_socket_address(address),
            endpoint.send,
            *user_data,
        )


class _ErrorHandler(_Handler):
    __slots__ = ()

    def __call__(self, endpoint, error, address, *user_data):
        first = self.replacement or endpoint
        return self.function(first, error, _from_socket_address(address), *user_data)


_HANDLERS = {"message-received": _MessageHandler, "error": _ErrorHandler}


def _wrap_handler(name, function, replacement=None):
    kind = _HANDLERS.get(name.replace("_", "-"))
    return kind(function, replacement) if kind and callable(function) else function


# What a subclass defines is called by the library, or by a subclass of its own that chains up.


def _wrap_do_message_received(function):
    @functools.wraps(function)
    def do_message_received(self, message, address, send):
        send = send if callable(send) else self.send
        return function(self, _from_bytes(message), _from_socket_address(address), send)

    return do_message_received


def _wrap_do_error(function):
    @functools.wraps(function)
    def do_error(self, error, address):
        return function(self, error, _from_socket_address(address))

    return do_error


_VFUNCS = {"do_message_received": _wrap_do_message_received, "do_error": _wrap_do_error}


def _do_nothing(self, *_arguments):
    """Does nothing: it ends the chain of those that chain up."""


# What blocks


@contextlib.contextmanager
def _waking_for_signals():
    """Lets Python handle signals while C waits in the thread's main context."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        watch = GLib.io_create_watch(GLib.IOChannel.unix_new(reader.fileno()), GLib.IOCondition.IN)
        watch.set_callback(lambda *_arguments: bool(reader.recv(4096)))
        watch.attach(GLib.MainContext.ref_thread_default())
        try:
            yield
        finally:
            watch.destroy()
            signal.set_wakeup_fd(before)


@contextlib.contextmanager
def _interruptible(end):
    """Lets Ctrl-C end what waits, and then be a KeyboardInterrupt, as everywhere in Python."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    interrupts = []

    def interrupt(*_arguments):
        interrupts.append(True)
        end()

    # GLib.unix_signal_add() changes the handler behind Python's back, so more is to be asked for.
    is_default = sigint_handler_is_default()
    with _waking_for_signals():
        if is_default:
            signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            if is_default and signal.getsignal(signal.SIGINT) is interrupt:
                signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupts:
        raise KeyboardInterrupt


# What waits for an answer, in asyncio


def _begin(begin, finish, *arguments):
    """Gives a future, where no callback is given: it is cancelled by cancelling it."""
    *arguments, cancellable, callback, user_data = arguments
    if callback is not None:
        begin(*arguments, cancellable, callback, *user_data)
        return None

    loop = asyncio.get_running_loop()
    future = loop.create_future()
    cancellable = cancellable or Gio.Cancellable()

    def settle(result):
        if future.done():
            return
        try:
            future.set_result(finish(result))
        except GLib.Error as error:
            future.set_exception(error)

    begin(*arguments, cancellable, lambda _s, r: loop.call_soon_threadsafe(settle, r))
    future.add_done_callback(lambda _future: future.cancelled() and cancellable.cancel())
    return future


class _Selector(selectors.EpollSelector):
    """Waits in the thread's main context for asyncio's files, which are one file: epoll's."""

    def __init__(self):
        super().__init__()
        self._context = GLib.MainContext.ref_thread_default()
        self._watch = GLib.io_create_watch(
            GLib.IOChannel.unix_new(self.fileno()), GLib.IOCondition.IN
        )
        self._watch.set_callback(lambda *_arguments: True)
        self._watch.attach(self._context)

    def select(self, timeout=None):
        timer = None
        if timeout is not None and timeout > 0:
            timer = GLib.timeout_source_new(min(int(timeout * 1000) + 1, 0x7FFFFFFF))
            timer.set_callback(lambda *_arguments: False)
            timer.attach(self._context)
        self._context.iteration(timeout is None or timeout > 0)
        if timer is not None:
            timer.destroy()
        return super().select(0)

    def close(self):
        self._watch.destroy()
        super().close()


def new_event_loop():
    """Makes an event loop for asyncio that runs the main context of the calling thread, too."""
    return asyncio.SelectorEventLoop(_Selector())


# Classes


class Endpoint(EasyServers.Endpoint):
    def __init_subclass__(cls, **arguments):
        super().__init_subclass__(**arguments)
        for name, wrap in _VFUNCS.items():
            if name in cls.__dict__:
                setattr(cls, name, wrap(cls.__dict__[name]))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exception):
        self.stop()

    def connect(self, detailed_signal, handler, *user_data):
        handler = _wrap_handler(detailed_signal, handler)
        return super().connect(detailed_signal, handler, *user_data)

    def connect_after(self, detailed_signal, handler, *user_data):
        handler = _wrap_handler(detailed_signal, handler)
        return super().connect_after(detailed_signal, handler, *user_data)

    def connect_object(self, detailed_signal, handler, replacement, *user_data):
        handler = _wrap_handler(detailed_signal, handler, replacement)
        if isinstance(handler, _Handler):
            return super().connect(detailed_signal, handler, *user_data)
        return super().connect_object(detailed_signal, handler, replacement, *user_data)

    def connect_object_after(self, detailed_signal, handler, replacement, *user_data):
        handler = _wrap_handler(detailed_signal, handler, replacement)
        if isinstance(handler, _Handler):
            return super().connect_after(detailed_signal, handler, *user_data)
        return super().connect_object_after(detailed_signal, handler, replacement, *user_data)

    def set_message_func(self, function, *user_data):
        handler = None if function is None else _MessageHandler(function)
        super().set_message_func(handler, *user_data)

    def run(self):
        """Starts and blocks until quit(). Ctrl-C ends it, too, and then is a KeyboardInterrupt."""
        with _interruptible(self.quit):
            return super().run()

    def send(self, message, address=None):
        """Sends a message, from any thread. GLib.Error tells why that failed."""
        return _send(self, _to_bytes(message), _to_socket_address(address))

    def send_text(self, text, address=None):
        return super().send_text(text, _to_socket_address(address))

    def send_data(self, data, address=None):
        return super().send_data(bytes(memoryview(data)), _to_socket_address(address))

    def send_many(self, messages, address=None):
        """Sends messages to one receiver, and tells how many were accepted."""
        messages = [_to_bytes(message) for message in messages]
        return super().send_many(messages, _to_socket_address(address))

    def create_job(self, name, function, *arguments, start=True):
        """Makes a job: function (job, endpoint, *arguments) in a thread of its own."""
        return super().create_job(name, lambda *both: function(*both[:2], *arguments), None, start)

    def get_local_address(self):
        return _from_socket_address(super().get_local_address())

    def dup_asked_host(self, sender):
        return super().dup_asked_host(_to_socket_address(sender))


_send = EasyServers.Endpoint.send
Endpoint.do_message_received = _do_nothing
Endpoint.do_error = _do_nothing
Endpoint.do_writable = _do_nothing
override(Endpoint)
__all__.append("Endpoint")


class UdpServer(EasyServers.UdpServer):
    @classmethod
    def new_with_handler(cls, port, handler, *user_data):
        self = cls(port=port)
        self.set_message_func(handler, *user_data)
        return self

    def set_keepalive(self, ping, interval_ms, max_missed):
        ping = None if ping is None else _to_bytes(ping)
        super().set_keepalive(ping, interval_ms, max_missed)

    def add_peer(self, address):
        return super().add_peer(_to_socket_address(address))

    def lookup_peer(self, address):
        return super().lookup_peer(_to_socket_address(address))

    def send_to_peers(self, message, except_peer=None):
        """Sends to each peer but one, and tells to how many."""
        return super().send_to_peers(_to_bytes(message), except_peer)


override(UdpServer)
__all__.append("UdpServer")


class UdpClient(EasyServers.UdpClient):
    @classmethod
    def new_with_handler(cls, handler, *user_data):
        self = cls()
        self.set_message_func(handler, *user_data)
        return self

    def connect_to(self, server, cancellable=None):
        return super().connect_to(_to_connectable(server), cancellable)

    def connect_to_async(self, server, cancellable=None, callback=None, *user_data):
        arguments = _to_connectable(server), cancellable, callback, user_data
        return _begin(super().connect_to_async, self.connect_to_finish, *arguments)

    def connect_to_host(self, host_and_port, default_port=0, cancellable=None):
        return super().connect_to_host(host_and_port, default_port, cancellable)

    def connect_to_host_async(
        self, host_and_port, default_port=0, cancellable=None, callback=None, *user_data
    ):
        arguments = host_and_port, default_port, cancellable, callback, user_data
        return _begin(super().connect_to_host_async, self.connect_to_host_finish, *arguments)

    def get_remote_address(self):
        return _from_socket_address(super().get_remote_address())

    def request(self, request, cancellable=None):
        """Sends a request and gives the answer to it."""
        return _from_bytes(super().request(_to_bytes(request), cancellable))

    def request_async(self, request, cancellable=None, callback=None, *user_data):
        arguments = _to_bytes(request), cancellable, callback, user_data
        return _begin(super().request_async, self.request_finish, *arguments)

    def request_finish(self, result):
        return _from_bytes(super().request_finish(result))

    def set_match_func(self, match, *user_data):
        """Sets match (request, response, *user_data), which tells whether both belong together."""

        def match_bytes(request, response, *data):
            return match(_from_bytes(request), _from_bytes(response), *data)

        super().set_match_func(None if match is None else match_bytes, *user_data)


override(UdpClient)
__all__.append("UdpClient")


if hasattr(EasyServers, "Peer"):

    class Peer(EasyServers.Peer):
        def get_address(self):
            return _from_socket_address(super().get_address())

    override(Peer)
    __all__.append("Peer")
