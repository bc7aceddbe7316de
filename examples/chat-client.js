#!/usr/bin/gjs -m
// SPDX-License-Identifier: LGPL-2.1-or-later

// Joins a chat and shows who says what: chat-client.js [--name NAME] HOST[:PORT]
//
// A typed line goes to everyone, "/msg NAME text" to one member, "/quit" or Ctrl-D leaves. What
// others send is escaped before it is shown: a name or a text must not be able to move the cursor.

import EasyServers from 'gi://EasyServers?version=0';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

const DEFAULT_PORT = 1234;
const JOIN_INTERVAL_MS = 500;
const MAX_JOINS = 10;
const LINE_END = 10;
const SIGNALS = {SIGHUP: 1, SIGINT: 2, SIGTERM: 15};

const decoder = new TextDecoder();

// Joiners belong to words and to emoji; the other characters of format reorder what is around them.
const harmful = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

// Makes a line that a terminal only shows.
function escape(text) {
    return text.trimEnd().replaceAll(harmful, character => {
        const code = character.codePointAt(0);

        return code < 0x100
            ? `\\x${code.toString(16).padStart(2, '0')}`
            : `\\u${code.toString(16).padStart(4, '0')}`;
    });
}

function tell(text) {
    printerr(`* ${escape(text)}`);
}

class Chat {
    exitStatus = null;

    #nJoins = 0;
    #joinTimer = 0;
    #isTyping = false;
    #typed = [];

    constructor(server, name) {
        this.server = server;
        this.name = name;
        this.client = new EasyServers.UdpClient();
        this.client.connect('message-received', (_client, message) =>
            this.#onMessage(decoder.decode(message)));
        this.client.connect('error', (_client, error) => this.#onError(error));
    }

    run() {
        this.client.connect_to_host(this.server, DEFAULT_PORT, null);
        for (const number of Object.values(SIGNALS)) {
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, () => {
                this.#leave(0);
                return GLib.SOURCE_CONTINUE;
            });
        }
        this.#startJoining();
        this.client.run();
    }

    #send(text) {
        try {
            this.client.send(text);
        } catch (error) {
            tell(error.message);
        }
    }

    #leave(exitStatus) {
        if (this.exitStatus !== null)
            return;

        this.exitStatus = exitStatus;
        if (exitStatus === 0)
            this.#send('EXIT');
        this.client.quit();
    }

    // Joining: a datagram may be lost, and its answer too.

    #startJoining() {
        if (this.#joinTimer)
            return;

        this.#nJoins = 0;
        this.#joinTimer = GLib.timeout_add(GLib.PRIORITY_DEFAULT, JOIN_INTERVAL_MS, () => {
            this.#joinAgain();
            return GLib.SOURCE_CONTINUE;
        });
        this.#join();
    }

    #join() {
        this.#nJoins++;
        this.#send(`JOIN ${this.name}`);
    }

    #joinAgain() {
        if (this.#nJoins < MAX_JOINS) {
            this.#join();
            return;
        }

        tell(`${this.server} does not answer`);
        this.#leave(1);
    }

    #onJoined() {
        GLib.source_remove(this.#joinTimer);
        this.#joinTimer = 0;
        tell(`Joined ${this.server} as ${this.name}: /msg NAME text, /quit`);
        if (!this.#isTyping)
            this.#startTyping();
        this.#isTyping = true;
    }

    #onRefused(reason) {
        if (reason === 'ALREADY JOINED' && this.#nJoins > 1) {
            this.#onJoined();
            return;
        }
        if (reason === 'ALREADY JOINED') {
            // Whoever had this port before us has not left, and is there under another name.
            this.#send('EXIT');
            this.#join();
            return;
        }

        if (reason === 'NAME TAKEN')
            tell(`Somebody is called ${this.name} there already: choose another --name`);
        else if (reason === 'BAD NAME')
            tell(`${this.name} is no name: it takes 1 to 32 characters, no parentheses`);
        else
            tell(`${this.server} lets nobody in: ${reason}`);
        this.#leave(1);
    }

    // What the server says.

    #onMessage(text) {
        const [, verb, rest] = text.match(/^(\S*) ?([^]*)$/);

        if (text.startsWith('(')) {
            print(escape(text));
        } else if (text === 'PING') {
            this.#send('PONG');
        } else if (verb === 'JOK' && this.#joinTimer) {
            this.#onJoined();
        } else if (verb === 'JERR' && this.#joinTimer) {
            this.#onRefused(rest);
        } else if (text === 'MERR NO SUCH NAME') {
            tell('Nobody of that name is here');
        } else if (text === 'MERR JOIN FIRST') {
            tell(`${this.server} did not know you any more: say it again once you have joined`);
            this.#startJoining();
        } else if (verb === 'MERR') {
            tell(rest);
        }
    }

    #onError(error) {
        if (error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CONNECTION_REFUSED))
            tell(`Nobody listens on ${this.server}: Connection refused`);
        else
            tell(error.message);
        if (!this.#isTyping)
            this.#leave(1);
    }

    // What is typed.

    #startTyping() {
        const input = new Gio.UnixInputStream({fd: 0});
        const conditions = GLib.IOCondition.IN | GLib.IOCondition.HUP;

        GLib.unix_fd_add_full(GLib.PRIORITY_DEFAULT, 0, conditions, () =>
            this.#onTyped(input.read_bytes(4096, null).toArray()));
    }

    #onTyped(bytes) {
        const isEnd = bytes.length === 0;
        let end;

        this.#typed.push(...bytes, ...isEnd ? [LINE_END] : []);
        while ((end = this.#typed.indexOf(LINE_END)) >= 0) {
            const line = this.#typed.splice(0, end + 1).slice(0, end);

            this.#onLine(decoder.decode(Uint8Array.from(line)));
        }
        if (isEnd)
            this.#leave(0);
        return !isEnd;
    }

    #onLine(line) {
        if (line === '' || this.exitStatus !== null)
            return;

        if (line === '/quit')
            this.#leave(0);
        else if (line.startsWith('/msg '))
            this.#sendPrivate(line.slice('/msg '.length));
        else if (line.startsWith('/'))
            tell('There are /msg NAME text and /quit');
        else
            this.#send(`MSGA ${line}`);
    }

    #sendPrivate(text) {
        const [, name, rest] = text.match(/^(\S+) (.*)$/) ?? [];

        if (!name)
            tell('To whom, and what? /msg NAME text');
        else if (name.startsWith('('))
            this.#send(`MSGP ${text}`);
        else
            this.#send(`MSGP (${name}) ${rest}`);
    }
}

function parse([first, ...rest]) {
    if (first === '--name' || first === '-n')
        return {name: rest[0], servers: rest.slice(1)};
    return {name: GLib.get_user_name(), servers: [first, ...rest]};
}

const {name, servers} = parse(System.programArgs);

if (servers.length !== 1 || !servers[0] || servers[0].startsWith('-')) {
    printerr('Which server? chat-client.js [--name NAME] HOST[:PORT]');
    System.exit(2);
}

const chat = new Chat(servers[0], name);

try {
    chat.run();
} catch (error) {
    printerr(error.message);
    System.exit(1);
}
System.exit(chat.exitStatus);
