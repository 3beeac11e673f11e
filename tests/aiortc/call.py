"""Calls a number by way of the gateway with aiortc; reports what came of it as one line of JSON."""

import argparse
import asyncio
import fractions
import json
import math
import re

import av
import numpy
import websockets
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

RATE = 48_000
FRAME = 960


class Tone(MediaStreamTrack):
    """A microphone that hears a sine at -15 dBFS."""

    kind = "audio"

    def __init__(self, hz):
        super().__init__()
        self.hz, self.at, self.start = hz, 0, None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.start = self.start or loop.time()
        await asyncio.sleep(max(0, self.start + self.at / RATE - loop.time()))
        n = numpy.arange(self.at, self.at + FRAME)
        samples = (0.25 * 32767 * numpy.sin(2 * math.pi * self.hz * n / RATE)).astype(numpy.int16)
        # aiortc sends stereo; made from mono it would be 3 dB lower.
        frame = av.AudioFrame.from_ndarray(numpy.repeat(samples, 2).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, fractions.Fraction(1, RATE)
        self.at += FRAME
        return frame


async def hear(track, samples):
    try:
        while True:
            frame = await track.recv()
            channels = len(frame.layout.channels)
            samples.append(frame.to_ndarray().reshape(-1, channels)[:, 0])
    except MediaStreamError:
        pass


def figures(samples):
    if not samples:
        return None
    # What came while the path was new is left out.
    sound = numpy.concatenate(samples)[-RATE:].astype(float) / 32768
    spectrum = numpy.abs(numpy.fft.rfft(sound * numpy.hanning(len(sound))))
    level = math.sqrt(max(numpy.mean(sound**2), 1e-12))
    return {"dominant_hz": float(numpy.argmax(spectrum) * RATE / len(sound)), "rms_dbfs": 20 * math.log10(level), "ms": len(sound) * 1000 / RATE}


def with_wrong_fingerprint(sdp):
    """Another certificate's fingerprint: the last digit of each is another one."""

    def change(match):
        return match.group(0)[:-1] + ("0" if match.group(0)[-1] != "0" else "1")

    return re.sub(r"(?m)^a=fingerprint:\S+ [0-9A-Fa-f:]+", change, sdp)


async def run(options):
    pc = RTCPeerConnection()
    pc.addTrack(Tone(options.hz))
    samples, report = [], {"messages": [], "answer": None, "cause": None}
    tasks = []

    @pc.on("track")
    def on_track(track):
        if track.kind == "audio":
            tasks.append(asyncio.ensure_future(hear(track, samples)))

    await pc.setLocalDescription(await pc.createOffer())
    offer = pc.localDescription.sdp
    if options.wrong_fingerprint:
        offer = with_wrong_fingerprint(offer)
    async with websockets.connect(options.url, subprotocols=["switchhook.v1"], origin=None) as socket:
        call = {"call": "a1"}
        heard_enough = None
        while True:
            patience = options.patience if heard_enough is None else heard_enough
            try:
                message = json.loads(await asyncio.wait_for(socket.recv(), patience))
            except asyncio.TimeoutError:
                if heard_enough is None:
                    raise
                await socket.send(json.dumps({"type": "hangup", **call}))
                heard_enough = None
                continue
            report["messages"].append(message["type"])
            match message["type"]:
                case "welcome":
                    await socket.send(json.dumps({"type": "call", **call, "to": options.number, "sdp": offer}))
                    await socket.send(json.dumps({"type": "end_of_candidates", **call}))
                case "answer":
                    report["answer"] = message["sdp"]
                    await pc.setRemoteDescription(RTCSessionDescription(message["sdp"], "answer"))
                case "accepted":
                    heard_enough = options.seconds
                    if options.digits:
                        await socket.send(json.dumps({"type": "dtmf", **call, "digits": options.digits, "duration_ms": 100}))
                case "error":
                    report["error"] = message
                    break
                case "hangup":
                    report["cause"] = message["cause"]
                    break
    report["connection"] = pc.connectionState
    await pc.close()
    report["heard"] = figures(samples)
    print(json.dumps(report))


parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("number")
parser.add_argument("--hz", type=float, default=620)
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("--patience", type=float, default=20)
parser.add_argument("--digits", help="sent as a message")
parser.add_argument("--wrong-fingerprint", action="store_true")
asyncio.run(run(parser.parse_args()))
