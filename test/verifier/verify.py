#!/usr/bin/python3
"""Verifies a log of secure-openai, written from docs/audit-format.md alone: Python's standard library, and Ed25519 from `cryptography`.

    verify.py [PATH] [--key VKEY] [--since CHECKPOINT] [--json]   does the log hold?
    verify.py --proof PROOF --record RECORD --key VKEY            is this record in the log that this key signs?
    verify.py PATH --receipt RECEIPT [--key VKEY]                 does the log say what the receipt says?
        [--content FIELD=FILE --salt SALT]                        and that FILE is what was requested, effective (sent) or the response
    verify.py --batch                                             one job a line of standard input, as JSON; one answer a line

Exits with 0 where it holds, 1 where it does not, 2 where that cannot be told.
"""
import argparse
import base64
import functools
import hashlib
import json
import os
import stat
import re
import sys

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.stderr.write("verify.py needs Python's cryptography: apt-get install python3-cryptography, and /usr/bin/python3\n")
    sys.exit(2)

LONGEST_LINE = 61_440
LONGEST_TEXT = 1_048_576
LONGEST_FILE = 256 * 1024 * 1024
DEEPEST = 64
SAFE = 2**53 - 1
BLOCK = 1 << 20
LISTED = 100


class CannotTell(Exception):
    """There is nothing to verify, or it cannot be read."""


class Bad(Exception):
    """A text is not what it should be."""


def sha256(data):
    return hashlib.sha256(data).digest()


def from_b64(text):
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, UnicodeEncodeError):
        raise Bad("not base64")
    if base64.b64encode(data).decode() != text:
        raise Bad("not the canonical base64")
    return data


def from_b64u(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise Bad("not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Bad("not base64url")
    if to_b64u(data) != text:
        raise Bad("not the canonical base64url")
    return data


def to_b64(data):
    return base64.b64encode(data).decode()


def to_b64u(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# --- the tree ---------------------------------------------------------------------------------------------------------


def leaf_hash(line):
    return sha256(b"\x00" + line)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


class Tree:
    """Perfect subtrees of the leaves so far, as (number of leaves, root), largest first."""

    def __init__(self):
        self.size = 0
        self.peaks = []

    def add(self, leaf):
        count, root = 1, leaf
        while self.peaks and self.peaks[-1][0] == count:
            root = node_hash(self.peaks.pop()[1], root)
            count *= 2
        self.peaks.append((count, root))
        self.size += 1

    def root(self):
        if not self.peaks:
            return sha256(b"")
        root = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            root = node_hash(left, root)
        return root


def root_from_path(leaf, index, size, path):
    """The root that an inclusion proof leads to, by the definition of the path in RFC 6962 §2.1.1."""
    if size == 1:
        if path:
            raise Bad("the proof has hashes left over")
        return leaf
    if not path:
        raise Bad("the proof lacks hashes")
    split = 1 << ((size - 1).bit_length() - 1)
    if index < split:
        return node_hash(root_from_path(leaf, index, split, path[:-1]), path[-1])
    return node_hash(path[-1], root_from_path(leaf, index - split, size - split, path[:-1]))


# --- keys and notes ---------------------------------------------------------------------------------------------------


def is_name(text):
    return bool(text) and not any(c == "+" or c.isspace() or c == "\ufeff" or ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


class Key:
    def __init__(self, name, public):
        self.name = name
        self.public = public
        self.id = sha256(name.encode() + b"\n\x01" + public)[:4]

    def __eq__(self, other):
        return (self.name, self.public) == (other.name, other.public)

    def __hash__(self):
        return hash((self.name, self.public))

    def verifies(self, data, signature):
        return verifies(self.public, data, signature)

    def kid(self):
        return thumbprint(to_b64u(self.public))


def verifies(public, data, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
        return True
    except (InvalidSignature, ValueError):
        return False


def thumbprint(x):
    return to_b64u(sha256(('{"crv":"Ed25519","kty":"OKP","x":"%s"}' % x).encode()))


def parse_vkey(line):
    parts = line.split("+", 2)
    if len(parts) != 3 or not is_name(parts[0]) or not re.fullmatch(r"[0-9a-f]{8}", parts[1]):
        raise Bad("a vkey is <name>+<8 hex digits>+<base64>")
    data = from_b64(parts[2])
    if len(data) != 33 or data[0] != 1:
        raise Bad("the vkey holds no Ed25519 public key")
    key = Key(parts[0], data[1:])
    if key.id.hex() != parts[1]:
        raise Bad("the vkey's id is not its key's")
    return key


def parse_vkeys(text):
    if not text.endswith("\n"):
        raise Bad("the last line has no newline")
    return [parse_vkey(line) for line in text[:-1].split("\n")]


class Note:
    def __init__(self, whole):
        text, gap, lines = whole.partition("\n\n")
        if not gap:
            raise Bad("there is no empty line")
        self.text = text + "\n"
        rows = text.split("\n")
        if len(rows) != 3:
            raise Bad("there are not three lines")
        self.origin = rows[0]
        if not is_name(self.origin):
            raise Bad("the origin is no name")
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", rows[1]) or int(rows[1]) > SAFE:
            raise Bad("the size is no number")
        self.size = int(rows[1])
        self.root = from_b64(rows[2])
        if len(self.root) != 32:
            raise Bad("the root is not 32 bytes")
        if not lines.endswith("\n"):
            raise Bad("the last line has no newline")
        self.signatures = [self.signature(line) for line in lines[:-1].split("\n")]

    @staticmethod
    def signature(line):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not is_name(parts[1]):
            raise Bad("a signature line is no signature line")
        data = from_b64(parts[2])
        if len(data) < 5:
            raise Bad("a signature is too short")
        return parts[1], data[:4], data[4:]

    def signers(self, keys):
        found = []
        for name, key_id, signature in self.signatures:
            held = [key for key in keys if key.name == name and key.id == key_id] if name == self.origin else []
            if not held:
                continue
            good = [key for key in held if key.verifies(self.text.encode(), signature)]
            if not good:
                return []
            found.append(good[0])
        return found


def decode(data):
    if len(data) > LONGEST_TEXT:
        raise Bad("it is too long")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Bad("it is not UTF-8")


def open_plain(path):
    """A plain file of at most 256 MiB, for reading: no link is followed, and no pipe or device waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode) or about.st_size > LONGEST_FILE:
        os.close(fd)
        raise OSError("%s is no plain file, or is longer than 256 MiB" % path)
    return os.fdopen(fd, "rb")


def read_small(path):
    """The bytes of a small file; None where it is missing."""
    try:
        with open_plain(path) as file:
            return file.read(LONGEST_TEXT + 1)
    except FileNotFoundError:
        return None


# --- lines ------------------------------------------------------------------------------------------------------------

ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
SPECIAL = re.compile(r'["\\\x00-\x1f]')


def text_of(string):
    return '"%s"' % SPECIAL.sub(lambda m: ESCAPES.get(m.group()) or "\\u%04x" % ord(m.group()), string)


def canonical(value, depth=1):
    """RFC 8785 of what a record may hold; Bad for what it may not."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return text_of(value)
    if type(value) is int:
        if abs(value) > SAFE:
            raise Bad("a number is too large")
        return str(value)
    if depth > DEEPEST:
        raise Bad("it nests too deep")
    if isinstance(value, list):
        return "[%s]" % ",".join([canonical(item, depth + 1) for item in value])
    if isinstance(value, dict):
        for key in value:
            if not key.isascii():
                raise Bad("a key is not ASCII")
        return "{%s}" % ",".join([text_of(key) + ":" + canonical(value[key], depth + 1) for key in sorted(value)])
    raise Bad("a value is none that a record holds")


def no_constant(name):
    raise Bad(name + " is no JSON")


DECODER = json.JSONDecoder(parse_constant=no_constant)


def is_number(value):
    return type(value) is int


class WrongPlace(Bad):
    pass


def parse_line(line):
    """The record of a line without its newline."""
    if len(line) > LONGEST_LINE:
        raise Bad("the line is too long")
    try:
        text = line.decode("utf-8")
        record, end = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        raise Bad("the line is not JSON in UTF-8")
    if end != len(text) or not isinstance(record, dict):
        raise Bad("the line is not one JSON object")
    try:
        same = canonical(record).encode("utf-8") == line
    except UnicodeEncodeError:
        raise Bad("a lone surrogate")
    if not same:
        raise Bad("the line is not its own canonical form")
    if not (
        is_number(record.get("v"))
        and record["v"] == 1
        and is_number(record.get("seq"))
        and record["seq"] >= 0
        and is_number(record.get("ts"))
        and all(isinstance(record.get(name), str) for name in ("id", "boot", "kind"))
    ):
        raise Bad("the record lacks what every record has")
    return record


def parse_record(line, index):
    """The record of a line, at its place."""
    record = parse_line(line)
    if record["seq"] != index:
        raise WrongPlace("the record says that it is record %d" % record["seq"])
    return record


class Journal:
    """The segments of a log, by name."""

    def __init__(self, path):
        self.folder = os.path.join(path, "journal")
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            names = []
        self.names = sorted(name for name in names if re.fullmatch(r"[0-9]{20}\.jsonl", name))

    def parts(self):
        """("segment", name), then ("line", bytes) for each, then ("rest", count, whether the segment is the last)."""
        for name in self.names:
            yield "segment", name, None
            with open_plain(os.path.join(self.folder, name)) as file:
                kept, lost = b"", 0
                while True:
                    block = file.read(BLOCK)
                    if not block:
                        break
                    *lines, rest = (kept + block).split(b"\n")
                    for line in lines:
                        yield "line", line, None
                    if lines:
                        lost = 0
                    kept = rest[: LONGEST_LINE + 1]
                    lost += len(rest) - len(kept)
            yield "rest", len(kept) + lost, name == self.names[-1]


# --- sense ------------------------------------------------------------------------------------------------------------


class Nonsense(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def need(holds, code, message):
    if not holds:
        raise Nonsense(code, message)


class Boot:
    """A boot that is open."""

    def __init__(self, unrecovered=None):
        self.calls = 0
        self.due = 0
        self.unrecovered = unrecovered


class Open:
    """A call that is open."""

    def __init__(self, index, kind, boot):
        self.index = index
        self.kind = kind
        self.boot = boot
        self.stream = "none"
        self.chunks = 0
        self.digest = None


class Order:
    """The table of "The order, precisely", row by row."""

    def __init__(self, origin):
        self.origin = origin
        self.calls = {}
        self.boots = {}
        self.known = set()

    def hand_over(self, old, new, heir):
        """Ends the boot `old`; its calls are those of the boot `new`. Gives how many there are."""
        ended = self.boots.pop(old, None)
        if ended is None or ended.calls == 0:
            return 0
        for c in self.calls.values():
            if c.boot == old:
                c.boot = new
        heir.calls += ended.calls
        return ended.calls

    def opens(self, r):
        name, beside, first = r["boot"], r.get("beside", 0), not self.known
        again, alone = name in self.known, is_number(beside) and beside == 0
        others = [other for other in self.boots if other != name]
        own = Boot(others[-1] if alone and others else None)
        for other in list(self.boots) if alone else [name]:
            self.hand_over(other, name, own)
        self.known.add(name)
        self.boots[name] = own
        boot = "boot_inconsistent"
        need(not first or r["seq"] == 0, boot, "log.open is not record 0")
        need(not again, boot, "two log.open of one boot")
        need(alone or (is_number(beside) and beside == len(others)), boot, "log.open counts other boots otherwise")
        need(self.origin is None or r.get("origin") == self.origin, boot, "log.open names another origin")

    def counts(self, r, own):
        """What log.recovered counts: the calls that it has to end, and the other boots."""
        boot = "boot_inconsistent"
        need(is_number(r.get("open")) and r["open"] == own.due, boot, "log.recovered counts otherwise")
        self.beside(r, len(self.boots) - 1)

    def beside(self, r, others):
        beside = r.get("beside", 0)
        need(is_number(beside) and beside == others, "boot_inconsistent", "%s counts other boots otherwise" % r["kind"])

    def take(self, r):
        kind = r["kind"]
        boot, call = "boot_inconsistent", "call_inconsistent"
        if kind == "log.open":
            return self.opens(r)
        need(self.known, boot, "the log does not begin with log.open")
        own = self.boots.get(r["boot"])
        need(own is not None, boot, "the record is of a boot that is not open")
        if own.unrecovered is not None:
            before, own.unrecovered = own.unrecovered, None
            need(kind == "log.recovered", boot, "no log.recovered after a crash")
            own.due = own.calls
            need(r.get("previous") == before, boot, "log.recovered names another boot")
            return self.counts(r, own)
        unknown = kind == "outcome" and r.get("result") == "unknown"
        if own.due > 0:
            own.due -= 1
            need(unknown, boot, "an outcome unknown is due")
        elif kind == "log.recovered":
            previous = r.get("previous")
            other = isinstance(previous, str) and previous != r["boot"] and previous in self.boots
            need(other, boot, "log.recovered names no other open boot")
            own.due = self.hand_over(previous, r["boot"], own)
            return self.counts(r, own)
        else:
            passed = self.calls.get(r["call"]) if isinstance(r.get("call"), str) else None
            need(not unknown or (passed is not None and passed.kind == "passthrough"), call, "an outcome unknown that is not due")
        if kind == "log.close":
            del self.boots[r["boot"]]
            need(own.calls == 0, call, "calls are open at log.close")
            return self.beside(r, len(self.boots))
        opens = kind in ("decision", "passthrough")
        if not opens and kind not in ("refused", "stream.open", "stream.segment", "stream.close", "tool_call", "outcome"):
            return
        name = r.get("call")
        need(isinstance(name, str), call, "the record names no call")
        c = self.calls.get(name)
        if opens or kind == "refused":
            need(c is None, call, "the call is open")
            if opens:
                self.calls[name] = Open(r["seq"], kind, r["boot"])
                own.calls += 1
            return
        need(c is not None, call, "the call is not open")
        need(c.boot == r["boot"], call, "the call is another boot's")
        if kind == "outcome":
            del self.calls[name]
            own.calls -= 1
        self.of_call(r, kind, c, call)

    def of_call(self, r, kind, c, call):
        if kind == "stream.open":
            had, c.stream = c.stream, "open" if c.stream == "none" else c.stream
            need(had == "none", call, "the call has had a stream")
            need(c.kind == "decision", call, "the call passes through")
            need(is_number(r.get("decision")) and r["decision"] == c.index, call, "another decision")
        elif kind == "stream.segment":
            need(c.stream == "open", call, "no stream is open")
            need(is_number(r.get("from")) and r["from"] == c.chunks, call, "a gap between segments")
            need(is_number(r.get("count")) and r["count"] >= 1, call, "a segment of nothing")
            need(isinstance(r.get("digest"), str), call, "a segment without a digest")
            c.chunks += r["count"]
            c.digest = r["digest"]
        elif kind == "stream.close":
            need(c.stream == "open", call, "no stream is open")
            c.stream = "ended"
            need(is_number(r.get("received")) and r["received"] == c.chunks, call, "the close counts otherwise")
            need(is_number(r.get("chunks")) and 0 <= r["chunks"] <= c.chunks, call, "more was handed on than received")
            need(c.digest is None or r.get("digest") == c.digest, call, "another digest")
        elif kind == "outcome":
            need(c.stream != "open" or r.get("result") == "unknown", call, "the stream is not closed")
            need(is_number(r.get("decision")) and r["decision"] == c.index, call, "another decision")


class LogKeys:
    """What records say of the keys of the log."""

    def __init__(self):
        self.named = {}
        self.ends = {}

    def take(self, r):
        if r["kind"] == "log.open" or (r["kind"] == "key.active" and r.get("use") == "log"):
            self.name(r)
        elif r["kind"] in ("key.retired", "key.revoked") and r.get("use") == "log" and isinstance(r.get("kid"), str):
            self.ends.setdefault(r["kid"], r["seq"])

    def name(self, r):
        try:
            if isinstance(r.get("vkey"), str):
                self.named.setdefault(parse_vkey(r["vkey"]), r["seq"])
        except Bad:
            pass

    def named_by(self, size):
        return [key for key, index in self.named.items() if index < size]

    def end_of(self, key, size):
        """The record that ended the key, where it is among the first `size`."""
        end = self.ends.get(key.kid())
        return end if end is not None and end < size else None


# --- a log ------------------------------------------------------------------------------------------------------------


class Log:
    def __init__(self, path, given=None, since=None, keep=None):
        """`given`: keys; `since`: the bytes of an earlier checkpoint; `keep`: called with each valid record and its leaf."""
        self.path = path
        self.given = given
        self.identity, self.lines, self.tree_, self.history, self.sense = [], [], [], [], []
        self.keys, self.note, self.signers = [], None, []
        self.read_identity()
        self.read_journal(self.earlier(since), keep)
        if self.note is not None:
            self.check_tree()
        if since is not None:
            self.check_since()

    def read_identity(self):
        bad = self.identity.append
        vkey = read_small(os.path.join(self.path, "vkey"))
        checkpoint = read_small(os.path.join(self.path, "checkpoint"))
        if vkey is None and checkpoint is None and not os.path.exists(os.path.join(self.path, "journal")):
            raise CannotTell("There is no log at %s." % self.path)
        own = []
        if vkey is None:
            bad(("checkpoint_missing", None, "vkey is missing"))
        else:
            try:
                own = parse_vkeys(decode(vkey))
            except Bad as e:
                bad(("checkpoint_invalid", None, "vkey: %s" % e))
        if self.given is not None and own and not set(own) & set(self.given):
            bad(("signature_invalid", None, "the log's vkey does not hold the given key"))
        self.keys = own if self.given is None else self.given
        if checkpoint is None:
            bad(("checkpoint_missing", None, "checkpoint is missing"))
            return
        try:
            self.note = Note(decode(checkpoint))
        except Bad as e:
            bad(("checkpoint_invalid", None, "checkpoint: %s" % e))
            return
        self.signers = self.note.signers(self.keys)
        if not self.signers:
            bad(("signature_invalid", None, "the checkpoint is signed by no key that is held"))

    def earlier(self, since):
        self.since, self.since_fault = None, None
        if since is not None:
            try:
                self.since = Note(decode(since))
            except Bad as e:
                self.since_fault = str(e)
        return self.since

    def read_journal(self, since, keep):
        size = 0 if self.note is None else self.note.size
        tree, order, self.log_keys = Tree(), Order(self.note and self.note.origin), LogKeys()
        wanted = {size} | ({since.size} if since else set())
        self.roots = {0: tree.root()}
        self.torn, self.times, cut = 0, [], False
        journal = Journal(self.path)
        for what, part, last in journal.parts():
            index = tree.size
            if what == "segment":
                if int(part[:20]) != index:
                    self.lines.append(("segment_order", index, "segment %s should begin with record %d" % (part, index)))
                continue
            if what == "rest":
                if part and last and index >= size:
                    self.torn = part
                elif part:
                    self.lines.append(("line_invalid", index, "the line does not end"))
                continue
            cut = cut or len(part) > LONGEST_LINE
            leaf = leaf_hash(part)
            tree.add(leaf)
            if not cut and tree.size in wanted:
                self.roots[tree.size] = tree.root()
            try:
                record = parse_record(part, index)
            except WrongPlace as e:
                self.lines.append(("seq_mismatch", index, str(e)))
                continue
            except Bad as e:
                self.lines.append(("line_invalid", index, str(e)))
                continue
            self.times = [self.times[0] if self.times else record["ts"], record["ts"]]
            self.log_keys.take(record)
            if keep:
                keep(record, leaf)
            try:
                order.take(record)
            except Nonsense as e:
                self.sense.append((e.code, index, str(e)))
        self.records, self.open = tree.size, len(order.calls)

    def check_tree(self):
        bad, note = self.tree_.append, self.note
        root = self.roots.get(note.size)
        if root != note.root:
            if self.records < note.size:
                bad(("too_short", self.records, "%d records, and %d were signed" % (self.records, note.size)))
            changed = self.changed()
            for index in changed:
                bad(("root_mismatch", index, "record %d is not the one that was signed" % index))
            if not changed and root is not None:
                bad(("root_mismatch", None, "the root is %s, and %s was signed" % (to_b64(root), to_b64(note.root))))
        ends = [self.log_keys.end_of(key, note.size) for key in self.signers]
        if ends and None not in ends:
            bad(("signature_invalid", ends[0], "the key that signed had ended"))

    def changed(self):
        try:
            with open(os.path.join(self.path, "leaves"), "rb") as file:
                data = file.read()
        except OSError:
            return []
        size = self.note.size
        if len(data) < size * 32:
            return []
        tree = Tree()
        leaves = [data[i * 32 : i * 32 + 32] for i in range(size)]
        for leaf in leaves:
            tree.add(leaf)
        if tree.root() != self.note.root:
            return []
        lines = (part for what, part, _ in Journal(self.path).parts() if what == "line")
        return [i for i, (leaf, line) in enumerate(zip(leaves, lines)) if len(line) > LONGEST_LINE or leaf_hash(line) != leaf]

    def check_since(self):
        bad, since, note = self.history.append, self.since, self.note
        if since is None:
            bad(("checkpoint_invalid", None, "the earlier checkpoint: %s" % self.since_fault))
            return
        named = self.log_keys.named_by(since.size)
        known = self.keys + [key for key in named if key not in self.keys]
        authors = [key for key in since.signers(known) if self.log_keys.end_of(key, since.size) is None]
        if not authors:
            bad(("signature_invalid", None, "the earlier checkpoint is signed by no key that is held"))
            return
        if note is not None and since.size > note.size:
            bad(("rolled_back", None, "%d records were signed before, and %d are now" % (since.size, note.size)))
        elif self.records < since.size:
            bad(("rolled_back", None, "%d records were signed before, and there are %d" % (since.size, self.records)))
        root = self.roots.get(since.size)
        if root is not None and root != since.root:
            bad(("forked", None, "the first %d records are not those that were signed before" % since.size))
        if self.given is None and self.signers and not set(self.signers) & set(authors + named):
            bad(("signature_invalid", None, "the earlier checkpoint does not know the log's key"))

    def problems(self):
        return self.identity + self.lines + self.tree_ + self.history + ([] if self.lines else self.sense)

    def report(self):
        problems, note = self.problems(), self.note
        listed = [
            {**({} if index is None else {"index": index}), "code": code, "message": message}
            for code, index, message in problems[:LISTED]
        ]
        return {
            "path": self.path,
            "ok": not problems,
            "origin": note.origin if note else "",
            "size": note.size if note else 0,
            "root": to_b64(note.root) if note else "",
            "records": self.records,
            "unsigned": max(0, self.records - (note.size if note else 0)),
            "torn": self.torn,
            "open": self.open,
            "key": "own" if self.given is None else "given",
            **({"from": self.times[0], "to": self.times[1]} if self.times else {}),
            "problems": listed,
            "more": len(problems) - len(listed),
        }


# --- proofs and receipts ----------------------------------------------------------------------------------------------


def check_proof(text, line, keys):
    """Raises Bad where the proof does not hold; gives the record."""
    head, gap, checkpoint = text.partition("\n\n")
    rows = head.split("\n")
    if not gap or rows.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Bad("this is no c2sp.org/tlog-proof@v1")
    if rows and rows[0].startswith("extra "):
        rows.pop(0)
    place = re.fullmatch(r"index (0|[1-9][0-9]{0,15})", rows.pop(0) if rows else "")
    if not place:
        raise Bad("there is no index")
    index, hashes = int(place.group(1)), [from_b64(row) for row in rows]
    if any(len(one) != 32 for one in hashes):
        raise Bad("a hash is not 32 bytes")
    note = Note(checkpoint)
    if not note.signers(keys):
        raise Bad("the checkpoint is signed by no key that was given")
    if index >= note.size:
        raise Bad("the checkpoint does not cover the record")
    record = parse_record(line, index)
    if root_from_path(leaf_hash(line), index, note.size, hashes) != note.root:
        raise Bad("the proof does not lead to the signed root")
    return record


def strict_object(data):
    def pairs(items):
        members = dict(items)
        if len(members) != len(items):
            raise Bad("a key is there twice")
        return members

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise Bad("not JSON")
    if not isinstance(value, dict):
        raise Bad("not a JSON object")
    return value


def without_nothing(members):
    return {name: value for name, value in members.items() if value is not None}


def salted(rule, salt, content):
    """The digest of a field: of the salt and the content, or by rule 2 of the salt and the content's own hash."""
    if rule is None:
        return "sha-256:" + to_b64u(hashlib.sha256(salt + content).digest())
    if rule == 2:
        return "sha-256:" + to_b64u(hashlib.sha256(salt + hashlib.sha256(content).digest()).digest())
    raise Bad("the record's digests follow a rule that is not known")


def check_receipt(jws, path, given=None, content=None):
    """
    Raises Bad where the log does not hold, or does not say what the receipt says; gives the claims. content: (field, salt,
    bytes), where what was asked, sent or answered is at hand.
    """
    parts = jws.strip().split(".")
    if len(parts) != 3:
        raise Bad("this is no compact JWS")
    header, claims, signature = strict_object(from_b64u(parts[0])), strict_object(from_b64u(parts[1])), from_b64u(parts[2])
    if set(header) != {"alg", "kid", "typ"} or header["alg"] != "Ed25519" or header["typ"] != "soai-receipt+jwt":
        raise Bad("the header is not a receipt's")
    index, kid = claims.get("leaf"), header["kid"]
    if not is_number(index):
        raise Bad("the claim leaf is no index")
    found = {}

    def keep(record, leaf):
        if record["seq"] == index:
            found["decision"], found["leaf"] = record, leaf
        if record["kind"] == "outcome" and record.get("call") == claims.get("call"):
            found["outcome"] = record
        if record["kind"].startswith("key.") and record.get("use") == "agent" and record.get("kid") == kid:
            if record["kind"] == "key.active":
                jwk = record.get("jwk")
                x = jwk.get("x") if isinstance(jwk, dict) and jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519" else None
                if isinstance(x, str) and thumbprint(x) == kid and record["seq"] <= index:
                    found["key"] = from_b64u(x)
            elif record["kind"] in ("key.retired", "key.revoked") and record["seq"] <= index:
                found["ended"] = True

    log = Log(path, given, keep=keep)
    if log.problems():
        raise Bad("the log does not hold: %s" % log.problems()[0][0])
    if "key" not in found or found.get("ended"):
        raise Bad("the log publishes no such key, or it had ended")
    if not verifies(found["key"], ("%s.%s" % (parts[0], parts[1])).encode(), signature):
        raise Bad("the signature does not verify")
    record = found.get("decision", {})
    principal, edits = record.get("principal"), record.get("edits")
    if record.get("kind") != "decision" or index >= log.note.size:
        raise Bad("there is no signed decision at that index")
    if record.get("kid") != kid:
        raise Bad("the receipt is signed by another key than the call was")
    said = {
        "call": record.get("call"),
        "tool": record.get("tool"),
        "sub": principal.get("id") if isinstance(principal, dict) else None,
        "dec": record.get("verdict"),
        "chg": [edit.get("path") if isinstance(edit, dict) else None for edit in edits] if isinstance(edits, list) else None,
        "req": record.get("requested"),
        "eff": record.get("effective"),
        "digests": record.get("digests"),
        "inv": record.get("inv"),
        "log": log.note.origin,
        "lh": to_b64u(found["leaf"]),
    }
    for name, value in said.items():
        # The rule of the digests is the only one that a record may not say.
        if (value is None and name != "digests") or claims.get(name) != value:
            raise Bad("the claim %s is not what the log says" % name)
    if "usr" in claims and "shortened" not in record:
        user = {"iss": principal.get("iss"), "sub": principal.get("sub", principal.get("id"))}
        if claims["usr"] != user or None in user.values():
            raise Bad("the claim usr is not what the log says")
    if "out" in claims:
        end = found.get("outcome", {})
        out = {"result": end.get("result"), "status": end.get("status"), "rdh": end.get("response"), "usage": end.get("usage")}
        if claims["out"] != without_nothing(out):
            raise Bad("the claim out is not what the log says")
    if content is not None:
        field, salt, data = content
        holder = found.get("outcome", {}) if field == "response" else record
        if field not in ("requested", "effective", "response") or salted(holder.get("digests"), salt, data) != holder.get(field):
            raise Bad("the content is not what the log says was %s" % field)
    return claims


# --- the command ------------------------------------------------------------------------------------------------------


def read_keys(given):
    """A vkey, or a file with one or several."""
    try:
        return [parse_vkey(given)]
    except Bad:
        pass
    try:
        with open(given, "rb") as file:
            text = decode(file.read())
        return parse_vkeys(text if text.endswith("\n") else text + "\n")
    except (OSError, Bad) as e:
        raise CannotTell("--key is neither a vkey nor a file with one: %s" % e)


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def run(job):
    """(exit code, answer) of a job: path, key?, since? · proof, record, key · path, receipt, key?, content?, salt?"""
    try:
        keys = None if job.get("key") is None else read_keys(job["key"])
        try:
            if job.get("proof") is not None:
                if keys is None or job.get("record") is None:
                    raise CannotTell("A proof is checked with --record and --key.")
                text = decode(read_bytes(job["proof"]))
                record = check_proof(text, read_bytes(job["record"]).split(b"\n")[0], keys)
                return 0, {"ok": True, "index": record["seq"]}
            if job.get("receipt") is not None:
                content = None
                if job.get("content") is not None:
                    if job.get("salt") is None or "=" not in job["content"]:
                        raise CannotTell("Content is checked with --content FIELD=FILE and --salt.")
                    field, file = job["content"].split("=", 1)
                    content = field, from_b64u(job["salt"]), read_bytes(file)
                return 0, {"ok": True, "claims": check_receipt(decode(read_bytes(job["receipt"])), job["path"], keys, content)}
        except Bad as e:
            return 1, {"ok": False, "message": str(e)}
        since = None if job.get("since") is None else read_bytes(job["since"])
        report = Log(job["path"], keys, since).report()
        return (0 if report["ok"] else 1), report
    except (CannotTell, OSError) as e:
        return 2, {"ok": False, "message": str(e)}


def words(report):
    if "problems" not in report:
        return "holds" if report["ok"] else "DOES NOT HOLD: %s" % report["message"]
    said = "%s: %s\n  %d records, the first %d signed by %s" % (
        report["path"], "intact" if report["ok"] else "NOT INTACT", report["records"], report["size"], report["origin"] or "nobody"
    )
    for problem in report["problems"]:
        place = "record %d: " % problem["index"] if "index" in problem else ""
        said += "\n  %s%s: %s" % (place, problem["code"], problem["message"])
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", "\ufffd", said)


def main():
    parser = argparse.ArgumentParser(description="Verifies a log of secure-openai.")
    parser.add_argument("path", nargs="?", default=os.path.join(os.environ.get("SECURE_OPENAI_HOME") or ".secure-openai", "audit"))
    for name in ("--key", "--since", "--proof", "--record", "--receipt", "--content", "--salt"):
        parser.add_argument(name)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batch", action="store_true")
    options = parser.parse_args()
    if options.batch:
        # Jobs that differ in one byte have nearly all of their lines in common.
        global parse_line
        parse_line = functools.lru_cache(maxsize=4096)(parse_line)
        for line in sys.stdin:
            code, answer = run(json.loads(line))
            print(json.dumps({"exit": code, **answer}), flush=True)
        return 0
    code, answer = run(vars(options))
    if code == 2:
        sys.stderr.write(answer["message"] + "\n")
    else:
        print(json.dumps(answer) if options.json else words(answer))
    return code


if __name__ == "__main__":
    sys.exit(main())
