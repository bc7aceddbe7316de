# SPDX-License-Identifier: LGPL-2.1-or-later

"""UDP servers and clients as python-easyservers has them, on the library easyservers.

    from easyservers import UDPServer

    def echo(message, address, send):
        send(message, address)

    UDPServer(echo, port=8181).run()

A message is a str. What is no UTF-8 in it is kept by Python's surrogate escapes, so that any bytes
come back as they were; send takes bytes, too. An address is a tuple (host, port). What goes wrong
is an OSError.

Threads are daemons: the program does not wait for them when it ends, not even for one that loops
for ever. The handlers of a threaded server share at most max_threads of them; when all are busy
and 1024 messages wait, the next ones wait in the kernel.
"""

import atexit
import contextlib
import errno
import functools
import inspect
import queue
import socket
import threading
import traceback
import weakref

import gi

gi.require_version("EasyServers", "0")

from gi.repository import EasyServers, Gio, GLib  # noqa: E402

__all__ = ["FunctionThread", "UDPClient", "UDPServer"]

_MAX_WAITING = 1024
_PATIENCE = 1

_ERRNO = {
    Gio.IOErrorEnum.ADDRESS_IN_USE: errno.EADDRINUSE,
    Gio.IOErrorEnum.CLOSED: errno.EBADF,
    Gio.IOErrorEnum.CONNECTION_REFUSED: errno.ECONNREFUSED,
    Gio.IOErrorEnum.HOST_UNREACHABLE: errno.EHOSTUNREACH,
    Gio.IOErrorEnum.INVALID_ARGUMENT: errno.EINVAL,
    Gio.IOErrorEnum.MESSAGE_TOO_LARGE: errno.EMSGSIZE,
    Gio.IOErrorEnum.NETWORK_UNREACHABLE: errno.ENETUNREACH,
    Gio.IOErrorEnum.NOT_CONNECTED: errno.EDESTADDRREQ,
    Gio.IOErrorEnum.PERMISSION_DENIED: errno.EACCES,
    Gio.IOErrorEnum.WOULD_BLOCK: errno.EAGAIN,
}


@contextlib.contextmanager
def _os_errors():
    try:
        yield
    except GLib.Error as error:
        is_known = error.domain == GLib.quark_to_string(Gio.io_error_quark())
        number = _ERRNO.get(error.code, errno.EIO) if is_known else errno.EIO
        raise OSError(number, error.message) from None


def _to_bytes(message):
    return message.encode("utf-8", "surrogateescape") if isinstance(message, str) else message


@functools.lru_cache(_MAX_WAITING)
def _find_literal(host, port):
    """Gives the address of a literal, and of a name nothing: what it means may change."""
    return EasyServers.Address(host, port) if GLib.hostname_is_ip_address(host) else None


def _resolve(address):
    if isinstance(address, EasyServers.Address):
        return address
    host, port = address[:2]
    literal = _find_literal(host, port)
    if literal is not None:
        return literal
    try:
        return EasyServers.Address(socket.gethostbyname(host), port)
    except socket.gaierror:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        return EasyServers.Address(found[0][4][0], port)


@contextlib.contextmanager
def _entered(context):
    context.push_thread_default()
    try:
        yield
    finally:
        context.pop_thread_default()


class FunctionThread(threading.Thread):
    """A thread that calls a function. It keeps no program from ending."""

    def __init__(self, function, args=(), kwargs=None):
        super().__init__(target=function, args=args, kwargs=kwargs or {}, daemon=True)


class _Crew:
    """Threads that handle messages: as many as are needed at a time, up to a limit."""

    def __init__(self, handle, max_threads, hold):
        self._handle = handle
        self._max_threads = max_threads
        self._hold = hold
        self._messages = queue.SimpleQueue()
        self._n_threads = 0
        self._n_idle = 0
        self._is_held = False
        self._lock = threading.Lock()

    def add(self, *message):
        self._messages.put(message)
        if self._n_idle == 0 and self._n_threads < self._max_threads:
            self._n_threads += 1
            FunctionThread(self._work).start()
        if self._messages.qsize() >= _MAX_WAITING:
            self._set_held(True)
            # The threads may have made room before they could know that it matters.
            self._go_on()

    def _work(self):
        while True:
            with self._lock:
                self._n_idle += 1
            message = self._messages.get()
            with self._lock:
                self._n_idle -= 1
            self._go_on()
            self._handle(*message)

    def _go_on(self):
        if self._is_held and self._messages.qsize() < _MAX_WAITING // 2:
            self._set_held(False)

    def _set_held(self, is_held):
        with self._lock:
            if self._is_held != is_held:
                self._is_held = is_held
                self._hold(is_held)


class _Base:
    """What a server and a client have in common."""

    def __init__(self, handle_function, endpoint, threaded, max_threads):
        self.handle = handle_function
        self.threaded = threaded
        self._endpoint = endpoint
        self._context = GLib.MainContext()
        self._is_stopped = False
        self._crew = _Crew(self._call, max_threads, self._hold)
        endpoint.set_message_func(self._receive)

    def _receive(self, _endpoint, message, address, _send):
        message = message.decode("utf-8", "surrogateescape")
        if self.threaded:
            self._crew.add(message, address)
        else:
            self._call(message, address)

    def _call(self, message, address):
        try:
            self.handle(message, address, self.send)
        except Exception:
            traceback.print_exc()

    def _hold(self, is_held):
        """Pauses at once or goes on later, since that is asked for by another thread."""
        if is_held:
            self._endpoint.set_paused(True)
            return
        later = GLib.idle_source_new()
        later.set_callback(lambda *_arguments: self._endpoint.set_paused(False))
        later.attach(self._context)

    def send(self, msg, address):
        """Sends a message, from any thread."""
        if self._is_stopped:
            raise OSError(errno.EBADF, "It was stopped")
        with _os_errors():
            self._endpoint.send(_to_bytes(msg), _resolve(address))

    def create_thread(self, function, args=(), kwargs=None, start=True):
        """Makes a thread that calls the function."""
        thread = FunctionThread(function, args, kwargs)
        if start:
            thread.start()
        return thread

    def stop(self):
        """Ends run(), or the client, from any thread. It waits for no thread."""
        self._is_stopped = True
        self._endpoint.stop()


class UDPServer(_Base):
    """A server that calls handle_function (message, address, send) for each message."""

    def __init__(self, handle_function, port=8181, threaded=True, max_threads=64):
        endpoint = EasyServers.UdpServer(port=port)
        super().__init__(handle_function, endpoint, threaded, max_threads)
        # It owns its port from now on. What comes before run() waits in the kernel.
        endpoint.set_paused(True)
        with _entered(self._context), _os_errors():
            endpoint.start()
        self.port = endpoint.get_port()

    def run(self):
        """Handles messages until stop() or Ctrl-C."""
        self._is_stopped = False
        self._endpoint.set_paused(False)
        try:
            with _entered(self._context), _os_errors():
                self._endpoint.run()
        finally:
            self._is_stopped = True


class UDPClient(_Base):
    """A client that calls handle_function (message, address) for each message, in a thread.

    A function that takes a third argument is given send, too.
    """

    _clients = weakref.WeakSet()

    def __init__(self, handle_function, threaded=True, max_threads=64):
        if not _takes_send(handle_function):
            handle_without_send = handle_function

            def handle_function(message, address, _send):
                handle_without_send(message, address)

        super().__init__(handle_function, EasyServers.UdpClient(), threaded, max_threads)
        with _entered(self._context), _os_errors():
            self._endpoint.start()
        self._thread = FunctionThread(self._run)
        self._thread.start()
        UDPClient._clients.add(self)

    def _run(self):
        with _entered(self._context):
            self._endpoint.run()


def _takes_send(function):
    try:
        inspect.signature(function).bind("message", ("host", 0), print)
    except TypeError:
        return False
    return True


@atexit.register
def _stop_clients():
    """Lets no thread be in the library when Python ends."""
    clients = list(UDPClient._clients)
    for client in clients:
        client.stop()
    for client in clients:
        client._thread.join(_PATIENCE)
