# SPDX-License-Identifier: LGPL-2.1-or-later

"""Compiles and runs the programs on the pages of docs/, and follows the links there.

A comment above a program says what it is called, and what it does:

    <!-- NAME: answers "MESSAGE" with "ANSWER" -->    a server on port 1234
    <!-- NAME: prints "TEXT" -->                      a client of an echo server on port 1234

The port is replaced by one that the kernel picks. The environment has what is needed to compile,
and to find the library as it was built.
"""

import configparser
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import ports

DEADLINE = 60
SOURCES = pathlib.Path(os.environ["G_TEST_SRCDIR"]).parent
BUILT = pathlib.Path(os.environ["G_TEST_BUILDDIR"]).parent
PAGES = sorted((SOURCES / "docs").glob("*.md"))
REFERENCE = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
INTERPRETED = shlex.split(os.environ.get("INTERPRETED", ""))
PORT = "1234"
LANGUAGES = {"c": ".c", "vala": ".vala", "python": ".py", "js": ".js"}

PROGRAM = re.compile(
    r'<!-- (?P<name>\S+): (?:answers "(?P<message>[^"]*)" with|prints) "(?P<text>[^"]*)" -->'
)
FENCE = re.compile(r"```(\w*)$")
LINK = re.compile(r"\]\(([^)]*)\)")


class Skip(Exception):
    """A test cannot be done on this host."""


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_none(offenders):
    check(not offenders, "\n".join(offenders))


class Block:
    """What stands between two fences, and in the line above."""

    def __init__(self, page, above, language):
        self.page = page
        self.language = language
        self.says = PROGRAM.fullmatch(above)
        self.lines = []

    def __str__(self):
        return f"{self.page.name}: {self.says['name'] if self.says else self.lines[0]}"

    def text(self):
        return "".join(line + "\n" for line in self.lines)


def read_blocks(page):
    blocks, block, above = [], None, ""
    for line in page.read_text().splitlines():
        fence = FENCE.fullmatch(line)
        if block and line == "```":
            block = None
        elif block:
            block.lines.append(line)
        elif fence:
            block = Block(page, above, fence[1])
            blocks.append(block)
        above = line
    return blocks


BLOCKS = [block for page in PAGES for block in read_blocks(page)]
PROGRAMS = [block for block in BLOCKS if block.language in LANGUAGES]


# Programs


def run_to_end(command, **options):
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=False,
        **options,
    )


def split(name):
    return shlex.split(os.environ.get(name, ""))


def compile_c(source, program):
    command = [*(split("CC") or ["cc"]), *split("CPPFLAGS"), *split("CFLAGS")]
    command += [*split("ES_CFLAGS"), "-Werror", source, "-o", program]
    command += [*split("LDFLAGS"), "-L.libs", "-leasyservers", *split("GIO_LIBS")]
    done = run_to_end(command, cwd=BUILT)
    check(done.returncode == 0, done.stdout)
    return [program]


def compile_vala(source, program):
    if not shutil.which("valac") or not (BUILT / "vala/easyservers.vapi").exists():
        raise Skip("valac or what it needs is not there")
    directory = os.path.dirname(source)
    command = ["valac", "--quiet", "--vapidir=vala", "--pkg=easyservers", "-C", "-d", directory]
    done = run_to_end([*command, source], cwd=BUILT)
    check(done.returncode == 0, done.stdout)
    written = source.removesuffix(".vala") + ".c"
    command = [*(split("CC") or ["cc"]), *split("CPPFLAGS"), *split("CFLAGS"), "-w", written]
    command += ["-o", program, *split("LDFLAGS"), "-L.libs", "-leasyservers", *split("GIO_LIBS")]
    done = run_to_end(command, cwd=BUILT)
    check(done.returncode == 0, done.stdout)
    return [program]


def find_python(source, _program):
    python = os.environ.get("PYTHON") or "python3"
    can_import = "import gi; gi.require_version('EasyServers', '0')"
    if run_to_end([python, "-c", can_import]).returncode != 0:
        raise Skip("no python3 that imports gi and the library is there")
    return [*INTERPRETED, python, "-u", source]


def find_gjs(source, _program):
    if not shutil.which("gjs") or not (BUILT / "EasyServers-0.typelib").exists():
        raise Skip("gjs or what it needs is not there")
    return [*INTERPRETED, "gjs", "-m", source]


PREPARE = {"c": compile_c, "vala": compile_vala, "python": find_python, "js": find_gjs}


def has_dtls():
    return "#define HAVE_DTLS 1" in (BUILT / "config.h").read_text()


def prepare(block, directory, port):
    """Writes the program, and gives the command that runs it."""
    if "_set_psk" in block.text() and not has_dtls():
        raise Skip("the library was built without DTLS")
    source = os.path.join(directory, block.says["name"])
    with open(source, "w", encoding="utf-8") as file:
        file.write(re.sub(rf"\b{PORT}\b", str(port), block.text()))
    return PREPARE[block.language](source, os.path.join(directory, "program"))




def ask_until_answered(process, port, message):
    """Asks again and again: the program may not listen yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", port))
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            check(process.poll() is None, f"it has ended: {process.returncode}")
            try:
                client.send(message.encode())
                return client.recv(65536).decode()
            except OSError:
                time.sleep(0.02)
    raise AssertionError("it does not answer")


def check_answers(command, port, says):
    with tempfile.TemporaryFile(mode="w+") as log:
        with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
            try:
                answer = ask_until_answered(process, port, says["message"])
            except AssertionError as error:
                log.seek(0)
                raise AssertionError(f"{error}\n{log.read()}") from None
            finally:
                process.kill()
        check(answer == says["text"], f"it answered {answer!r}")


def echo(listener):
    while True:
        message, address = listener.recvfrom(65536)
        if not address[1] or message == b"the end of the test":
            return
        listener.sendto(message, address)


def check_prints(block, directory):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        thread = threading.Thread(target=echo, args=(listener,))
        thread.start()
        try:
            done = run_to_end(prepare(block, directory, port))
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"the end of the test", ("127.0.0.1", port))
            thread.join()
    got = done.returncode, done.stdout
    check(got == (0, block.says["text"] + "\n"), f"status and output were {got}")


def check_program(block):
    with tempfile.TemporaryDirectory() as directory:
        if block.says["message"] is None:
            check_prints(block, directory)
            return
        port = ports.pick()
        check_answers(prepare(block, directory, port), port, block.says)


# What is no program


def check_all_say():
    check_none([f"{block}: it is not said what it does" for block in PROGRAMS if not block.says])
    names = [block.says["name"] for block in PROGRAMS if block.says]
    check_none([f"two are called {name}" for name in set(names) if names.count(name) > 1])


def check_shell():
    for block in BLOCKS:
        if block.language == "sh":
            done = run_to_end(["sh", "-n", "-c", block.text()])
            check(done.returncode == 0, f"{block}: {done.stdout}")


def check_units():
    for block in BLOCKS:
        if block.language == "ini":
            configparser.ConfigParser(strict=False).read_string(block.text())


def check_names():
    """Every function named in a page stands in a header."""
    headers = "".join(
        path.read_text() for path in (SOURCES / "include/easyservers").glob("*.h")
    )
    offenders = []
    for page in PAGES:
        for name in sorted(set(re.findall(r"\bes_[a-z0-9_]+(?= \()", page.read_text()))):
            if not re.search(rf"\b{name} \(", headers):
                offenders.append(f"{page.name}: {name}")
    check_none(offenders)


def check_links():
    offenders = []
    for page in PAGES:
        for link in LINK.findall(page.read_text()):
            if "://" not in link and not (page.parent / link).exists():
                offenders.append(f"{page.name}: {link}")
    check_none(offenders)


def check_contents():
    """The list of pages has every page, and so has the reference's configuration."""
    listed = (SOURCES / "docs/README.md").read_text()
    configured = (SOURCES / "docs/easyservers.toml.in").read_text()
    check_none(
        [
            page.name
            for page in PAGES
            if page.name != "README.md"
            and (f"({page.name})" not in listed or f'"{page.name}"' not in configured)
        ]
    )


def check_picture():
    for name in ("datagram.svg", "handshake.svg"):
        xml.etree.ElementTree.parse(SOURCES / "docs" / name)


# The reference


def need_reference():
    if REFERENCE is None:
        raise Skip("gi-docgen is not there, or introspection is off")


def read_html():
    return {path.name: path.read_text() for path in sorted(REFERENCE.glob("*.html"))}


def check_reference_links():
    """Every link within the reference leads to a file, and to a place in it."""
    need_reference()
    pages = read_html()
    places = {name: set(re.findall(r'\bid="([^"]*)"', text)) for name, text in pages.items()}
    offenders = set()
    for name, text in pages.items():
        for link in re.findall(r'\b(?:href|src)="([^"]*)"', text):
            url = urllib.parse.urlsplit(link)
            target = urllib.parse.unquote(url.path) or name
            if url.scheme or url.netloc:
                continue
            if not (REFERENCE / target).exists():
                offenders.add(f"{name}: {link}")
            elif url.fragment and target in places and url.fragment not in places[target]:
                offenders.add(f"{name}: {link}")
    check_none(sorted(offenders))


def check_reference_complete():
    """Every public symbol has its place in the reference."""
    need_reference()
    everything = "".join(read_html().values())
    gir = (BUILT / "EasyServers-0.gir").read_text()
    names = set(re.findall(r'c:identifier="(es_\w+)"', gir))
    check(len(names) > 50, f"the GIR has {len(names)} functions")
    check_none(sorted(name for name in names if not re.search(rf"\b{name}\b", everything)))


def check_reference_plain():
    """No markup was left as it was written."""
    need_reference()
    offenders = []
    for name, text in read_html().items():
        text = re.sub(r"<pre.*?</pre>|<code.*?</code>|<script.*?</script>", "", text, flags=re.S)
        text = re.sub(r"<[^>]*>", "", text)
        found = re.findall(r"\[\w+@[^\]]*\]|%(?:TRUE|FALSE|NULL|G_\w+)|#[GE]\w+", text)
        offenders += [f"{name}: {one}" for one in found]
    check_none(offenders)


def check_devhelp():
    """Devhelp's book has the pages and the symbols, and its links lead to files."""
    need_reference()
    book = REFERENCE / f"{REFERENCE.name}.devhelp2"
    root = xml.etree.ElementTree.parse(book).getroot()
    links = [element.get("link") for element in root.iter() if element.get("link")]
    check(len(links) > 100, f"there are {len(links)} links only")
    check_none(sorted({link for link in links if not (REFERENCE / link.split("#")[0]).exists()}))
    check("jobs.html" in links, "the pages are missing")


TESTS = [
    ("Every program on a page says what it does", check_all_say),
    ("Commands are what a shell understands", check_shell),
    ("Units are what systemd understands", check_units),
    ("Functions that pages name are there", check_names),
    ("Links of pages lead somewhere", check_links),
    ("Every page is listed", check_contents),
    ("The picture is well-formed", check_picture),
    ("Links in the reference lead somewhere", check_reference_links),
    ("Every public function is in the reference", check_reference_complete),
    ("No markup is left in the reference", check_reference_plain),
    ("Devhelp finds pages and symbols", check_devhelp),
]


def main():
    tests = list(TESTS)
    for block in PROGRAMS:
        if block.says:
            what = block.says.group().strip("<!- >").partition(": ")[2]
            tests.append((f"{block} {what}", lambda block=block: check_program(block)))
    print(f"1..{len(tests)}", flush=True)
    for number, (name, test) in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:  # pylint: disable=broad-except
            print(f"not ok {number} - {name}")
            print("# " + traceback.format_exc().strip().replace("\n", "\n# "), flush=True)


main()
