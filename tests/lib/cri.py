#!/usr/bin/python3
"""What kubelet is to containerd, as a co-process of a shell test (cri.sh).

A line in is a command, its words separated by 0x1f; the answer is "ok N" or
"error N", then N lines. Pods and containers have names of the test's own; R is
JSON, the fields of a request that are not said otherwise.

  pod NAME HANDLER [R]          RunPodSandbox; its log directory is DIR/log/NAME
  create POD NAME R ARG...      CreateContainer
  run POD NAME R ARG...         and StartContainer
  of NAME METHOD [R]            a request about that pod or container: its response
  call METHOD [R]               any other
  id NAME                       what containerd calls it
  status NAME                   'EXITED 0 Completed'; of a pod 'READY 10.88.0.2'
  until NAME STATUS             wait for that
  sync NAME ARG...              ExecSync: status, then stdout and stderr
  exec S NAME FLAGS ARG...      a session S by SPDY as kubectl does; FLAGS are letters
  attach S NAME FLAGS             of stdIn, stdOut, stdErr, Tty
  forward S POD PORT
  send S TEXT                   to stdin, or into the port; \\n is a newline
  eof S                         no more of it
  resize S WIDTH HEIGHT         the terminal
  expect S TEXT                 wait until stdout, or the port, has said it
  ask S TEXT ANSWER             send, then expect; "again" if it had to be sent twice: Attach
                                passes stdin on before it has put the client among those who
                                get the output, so an answer may come too early, with any shim
  end S                         wait for the end: [stdout, stderr, status]
  drop S                        close the connection, as a client that dies
  later S COMMAND...            in the background; join S: its answer

usage: cri.py SOCKET DESCRIPTORS DIR IMAGE CGROUP (DESCRIPTORS: of cri.proto)
"""
import json
import os
import socket
import struct
import sys
import threading
import time
import urllib.parse
import zlib

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PATIENCE = 90 * int(os.environ.get("PODSHIM_TEST_SLOW", "1"))  # seconds for anything
FLAGS = {"i": "stdin", "o": "stdout", "e": "stderr", "t": "tty"}


class Cri:
    """The CRI socket. Messages are made from the descriptors at run time."""

    def __init__(self, path, descriptors):
        with open(descriptors, "rb") as f:
            files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
        self.pool = descriptor_pool.DescriptorPool()
        for f in files.file:
            self.pool.Add(f)
        if not hasattr(message_factory, "GetMessageClass"):
            self.factory = message_factory.MessageFactory(self.pool)
        # containerd comes and goes: the connection is made anew quickly
        self.channel = grpc.insecure_channel("unix:" + path, options=[
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 100)])

    def message(self, name):
        descriptor = self.pool.FindMessageTypeByName("runtime.v1." + name)
        if hasattr(message_factory, "GetMessageClass"):  # protobuf 4.22 and later
            return message_factory.GetMessageClass(descriptor)
        return self.factory.GetPrototype(descriptor)

    def call(self, method, request):
        service = "ImageService" if method.startswith("Image") else "RuntimeService"
        rpc = self.channel.unary_unary(
            "/runtime.v1.%s/%s" % (service, method),
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=self.message(method + "Response").FromString)
        return rpc(json_format.ParseDict(request, self.message(method + "Request")()),
                   timeout=PATIENCE, wait_for_ready=True)


def as_json(message):
    try:
        fields = json_format.MessageToDict(message, preserving_proto_field_name=True,
                                           always_print_fields_with_no_presence=True)
    except TypeError:  # protobuf before 5.26 has another name for it
        fields = json_format.MessageToDict(message, preserving_proto_field_name=True,
                                           including_default_value_fields=True)
    return json.dumps(fields)


class Spdy:
    """One SPDY/3.1 connection to containerd's streaming server, and its streams."""

    SYN_STREAM, SYN_REPLY, RST_STREAM, PING = 1, 2, 3, 6
    FIN = 1

    def __init__(self, url, protocol):
        u = urllib.parse.urlparse(url)
        self.sock = socket.create_connection((u.hostname, u.port), timeout=PATIENCE)
        self.sock.sendall((
            "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: %s\r\nContent-Length: 0\r\n\r\n"
            % (u.path + ("?" + u.query if u.query else ""), u.netloc, protocol)).encode())
        self.file = self.sock.makefile("rb")
        answer = self.file.readline().decode().strip()
        while self.file.readline().strip():
            pass
        if " 101 " not in answer + " ":
            raise OSError("streaming server: " + answer)
        # Without the dictionary that the protocol has for headers: a server reads that
        # too. The headers of its replies are not looked at.
        self.zip = zlib.compressobj()
        self.ids = {}  # our name of a stream: its number
        self.data = {}  # number: bytes received
        self.open = set()  # numbers whose other end may still send
        self.changed = threading.Condition()
        self.sock.settimeout(None)
        threading.Thread(target=self.read, daemon=True).start()

    def control(self, kind, body):
        self.sock.sendall(struct.pack(">HHI", 0x8003, kind, len(body)) + body)

    def stream(self, name, headers):
        number = self.ids[name] = 2 * len(self.ids) + 1
        block = struct.pack(">I", len(headers))
        for key, value in headers.items():
            for text in (key.lower(), value):
                block += struct.pack(">I", len(text)) + text.encode()
        block = self.zip.compress(block) + self.zip.flush(zlib.Z_SYNC_FLUSH)
        with self.changed:
            self.data[number] = b""
            self.open.add(number)
        self.control(self.SYN_STREAM, struct.pack(">IIBB", number, 0, 0, 0) + block)

    def send(self, name, data, flags=0):
        self.sock.sendall(struct.pack(">II", self.ids[name], flags << 24 | len(data)) + data)

    def read(self):
        try:
            head = self.file.read(8)
            while len(head) == 8:
                first, rest = struct.unpack(">II", head)
                body = self.file.read(rest & 0xffffff)
                with self.changed:
                    self.frame(first, rest >> 24, body)
                    self.changed.notify_all()
                head = self.file.read(8)
        except (OSError, ValueError):
            pass  # closed
        with self.changed:
            self.open.clear()
            self.changed.notify_all()

    def frame(self, first, flags, body):
        kind = first & 0xffff
        if not first & 0x80000000:
            self.data[first] += body
            if flags & self.FIN:
                self.open.discard(first)
        elif kind == self.PING:
            self.control(kind, body)
        elif kind == self.RST_STREAM or (kind == self.SYN_REPLY and flags & self.FIN):
            self.open.discard(struct.unpack(">I", body[:4])[0])

    def wait(self, what, condition, patience=PATIENCE):
        with self.changed:
            if not self.changed.wait_for(condition, patience):
                raise OSError("waited too long for " + what)

    def text(self, name):
        return self.data.get(self.ids.get(name), b"").decode(errors="replace")

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Session:
    """An exec, an attach or a forwarded port."""

    def __init__(self, url, names):
        self.names = names
        self.input, self.output = "stdin", "stdout"
        if "data" in names:
            self.input = self.output = "data"
        self.spdy = Spdy(url, "portforward.k8s.io" if "data" in names else "v4.channel.k8s.io")

    @staticmethod
    def process(url, flags):
        s = Session(url, ["error"] + ["resize" if f == "t" else FLAGS[f] for f in flags])
        for name in s.names:
            s.spdy.stream(name, {"streamType": name})
        return s

    @staticmethod
    def port(url, port):
        s = Session(url, ["error", "data"])
        for name in s.names:
            s.spdy.stream(name, {"streamType": name, "port": port, "requestID": "0"})
        s.spdy.send("error", b"", Spdy.FIN)
        return s

    def expect(self, text, patience=PATIENCE):
        self.spdy.wait("'%s' in '%s'" % (text, self.spdy.text(self.output)),
                       lambda: text in self.spdy.text(self.output) or not self.spdy.open,
                       patience)
        if text not in self.spdy.text(self.output):
            raise OSError("no '%s' in '%s'" % (text, self.spdy.text(self.output)))

    def end(self):
        theirs = [self.spdy.ids[n] for n in self.names if n not in ("stdin", "resize")]
        self.spdy.wait("the end", lambda: not self.spdy.open.intersection(theirs))
        result = [self.spdy.text(self.output), self.spdy.text("stderr"),
                  self.status(self.spdy.text("error"))]
        self.spdy.close()
        return json.dumps(result)

    @staticmethod
    def status(text):
        if not text.startswith("{"):
            return text
        status = json.loads(text)
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        return 0 if status["status"] == "Success" else text


class Later(threading.Thread):
    """A command in the background."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work = work
        self.start()

    def run(self):
        self.good, self.text = attempt(self.work)

    def answer(self):
        self.join()
        if not self.good:
            raise OSError(self.text)
        return self.text


class Kubelet:
    """The commands: cmd_<verb>(words) gives text or None."""

    def __init__(self, cri, directory, image, cgroup):
        self.cri, self.directory, self.image, self.cgroup = cri, directory, image, cgroup
        self.pods = {}  # name: (id, config)
        self.containers = {}  # name: id
        self.kept = {}  # sessions and what runs in the background

    def command(self, verb, *words):
        return getattr(self, "cmd_" + verb)(*words)

    def note(self, ident):
        with open(self.directory + "/ids", "a") as f:
            f.write(ident + "\n")
        return ident

    def cmd_pod(self, name, handler, more="{}"):
        log = "%s/log/%s" % (self.directory, name)
        os.makedirs(log, exist_ok=True)
        config = {
            "metadata": {"name": name, "uid": "uid-" + name, "namespace": "default"},
            "hostname": name, "log_directory": log, "dns_config": {"servers": ["127.0.0.1"]},
            "linux": {"cgroup_parent": self.cgroup, "security_context": {
                "namespace_options": {"pid": "CONTAINER"}}}}
        merge(config, json.loads(more))
        rsp = self.cri.call("RunPodSandbox", {"config": config, "runtime_handler": handler})
        self.pods[name] = (self.note(rsp.pod_sandbox_id), config)

    def cmd_create(self, pod, name, more, *args):
        config = {
            "metadata": {"name": name}, "image": {"image": self.image}, "command": list(args),
            "log_path": name + ".log", "linux": {"security_context": {
                "namespace_options": {"pid": "CONTAINER"}}}}
        merge(config, json.loads(more or "{}"))
        rsp = self.cri.call("CreateContainer", {
            "pod_sandbox_id": self.pods[pod][0], "config": config,
            "sandbox_config": self.pods[pod][1]})
        self.containers[name] = self.note(rsp.container_id)

    def cmd_run(self, pod, name, more, *args):
        self.cmd_create(pod, name, more, *args)
        self.about(name, "StartContainer", {})

    def about(self, name, method, request):
        if name in self.pods:
            return self.cri.call(method, dict(request, pod_sandbox_id=self.pods[name][0]))
        return self.cri.call(method, dict(request, container_id=self.containers[name]))

    def cmd_of(self, name, method, request="{}"):
        return as_json(self.about(name, method, json.loads(request)))

    def cmd_call(self, method, request="{}"):
        return as_json(self.cri.call(method, json.loads(request)))

    def cmd_id(self, name):
        return self.pods[name][0] if name in self.pods else self.containers[name]

    def cmd_status(self, name):
        if name in self.pods:
            s = self.about(name, "PodSandboxStatus", {}).status
            return "%s %s" % (("READY", "NOTREADY")[s.state], s.network.ip)
        s = self.about(name, "ContainerStatus", {}).status
        return "%s %d %s" % (("CREATED", "RUNNING", "EXITED", "UNKNOWN")[s.state], s.exit_code, s.reason)

    def cmd_until(self, name, status):
        end = time.monotonic() + PATIENCE
        while self.cmd_status(name).strip() != status:
            if time.monotonic() > end:
                raise OSError("it is " + self.cmd_status(name))
            time.sleep(0.02)

    def cmd_sync(self, name, *args):
        r = self.about(name, "ExecSync", {"cmd": list(args), "timeout": PATIENCE})
        return "%d %s%s" % (r.exit_code, r.stdout.decode(), r.stderr.decode())

    def cmd_exec(self, session, name, flags, *args):
        request = {FLAGS[f]: True for f in flags}
        url = self.about(name, "Exec", dict(request, cmd=list(args))).url
        self.kept[session] = Session.process(url, flags)

    def cmd_attach(self, session, name, flags):
        url = self.about(name, "Attach", {FLAGS[f]: True for f in flags}).url
        self.kept[session] = Session.process(url, flags)

    def cmd_forward(self, session, name, port):
        url = self.about(name, "PortForward", {"port": [int(port)]}).url
        self.kept[session] = Session.port(url, port)

    def cmd_send(self, session, text):
        s = self.kept[session]
        s.spdy.send(s.input, text.replace("\\n", "\n").encode())

    def cmd_eof(self, session):
        s = self.kept[session]
        s.spdy.send(s.input, b"", Spdy.FIN)

    def cmd_resize(self, session, width, height):
        size = json.dumps({"Width": int(width), "Height": int(height)})
        self.kept[session].spdy.send("resize", size.encode())

    def cmd_expect(self, session, text):
        self.kept[session].expect(text)

    def cmd_ask(self, session, text, answer):
        self.cmd_send(session, text)
        try:
            return self.kept[session].expect(answer, PATIENCE / 2)
        except OSError:
            self.cmd_send(session, text)
            self.kept[session].expect(answer)
            return "again"

    def cmd_end(self, session):
        return self.kept.pop(session).end()

    def cmd_drop(self, session):
        self.kept.pop(session).spdy.close()

    def cmd_later(self, session, *command):
        self.kept[session] = Later(lambda: self.command(*command))

    def cmd_join(self, session):
        return self.kept.pop(session).answer()


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def attempt(work):
    try:
        return True, work() or ""
    except grpc.RpcError as e:
        return False, "%s: %s" % (e.code().name, e.details())
    except Exception as e:  # the test wants to see it, whatever it is
        return False, "%s: %s" % (type(e).__name__, e)


def main():
    cri = Cri(sys.argv[1], sys.argv[2])
    kubelet = Kubelet(cri, *sys.argv[3:])
    for line in sys.stdin:
        words = line.rstrip("\n").split("\x1f")
        good, text = attempt(lambda: kubelet.command(*words))
        lines = text.rstrip("\n").split("\n") if text else []
        print("ok" if good else "error", len(lines))
        for answer in lines:
            print(answer)
        sys.stdout.flush()


main()
