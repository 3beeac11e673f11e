"""Asks the harness (media/examples/quality) what calls sound like under loss, has PESQ judge it, draws what it says.

Run by scripts/quality, which installs what is imported here.
"""

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import tempfile
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from pesq import pesq

RATE = 8000
SECONDS = 8
# The lead before what is judged: the browser's reports have told of the loss by then.
LEAD = 8
FRAMES = (LEAD + SECONDS) * 50
PROMPTS = Path("/usr/share/asterisk/sounds")
LANGUAGES = ("en", "es", "fr", "it", "ru")
SEGMENTS = 2
MASKS = 3
LOSSES = (0, 2, 5, 10, 15, 20)
# A spell of loss in a call of 40 s: reports come every 2.5 s, and 5 s after the first one it is judged.
SPELL = (8, 24)
JUDGED = {"during": 16, "after": 29}

# What a browser does that our answer asks for 32 kbit/s narrowband with FEC.
BROWSER = {"bitrate": 32000, "complexity": 9}
# The gateway's own encoder.
OURS = {"bitrate": 32000, "complexity": 0}

# Issue by issue what is promised: direction, loss, the least PESQ.
TARGETS = [
    ("from_browser", 5, 3.93),
    ("from_browser", 10, 3.63),
    ("from_browser", 20, 3.02),
    ("to_browser", 5, 3.85),
    ("to_browser", 10, 3.63),
    ("to_browser", 20, 3.00),
    ("from_trunk", 5, 2.87),
    ("from_trunk", 10, 2.25),
]
BURST_LOSSES = (5, 10, 20)
# The chains' scores differ in their third digit by chance: a different rounding of a sample.
CHANCE = 0.01
WORDS = {
    "from_browser": "Opus from the browser is lost; the trunk hears",
    "to_browser": "Opus to the browser is lost; the browser hears",
    "from_trunk": "G.711 from the trunk is lost; the browser hears",
}


def read(path):
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def write(path, pcm):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(pcm, -32768, 32767).astype("<i2").tobytes())


def segment(language, seed):
    """Eight seconds of recorded prompts with short pauses, twice: the first time is the lead."""
    folder = next(one for one in sorted(PROMPTS.iterdir()) if one.name.startswith(f"{language}_") and any(one.glob("*.wav")))
    files = sorted(folder.glob("*.wav"))
    chosen = random.Random(f"{language}{seed}")
    pieces, length = [], 0
    while length < SECONDS * RATE:
        prompt = read(chosen.choice(files))
        if len(prompt) > RATE // 2:
            pieces += [prompt, np.zeros(RATE // 5, dtype=np.int16)]
            length += len(prompt) + RATE // 5
    speech = np.concatenate(pieces)[: SECONDS * RATE]
    return np.concatenate([speech, speech])


def noisy(speech, decibels, seed):
    """With pink noise so many dB below it."""
    generator = np.random.default_rng(seed)
    spectrum = np.fft.rfft(generator.standard_normal(len(speech)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, len(speech))
    level = np.sqrt(np.mean(speech.astype(float) ** 2)) / 10 ** (decibels / 20)
    return speech + noise / noise.std() * level


def random_loss(percent, seed):
    chosen = random.Random(f"random{percent}{seed}")
    return [n for n in range(5, FRAMES) if chosen.random() * 100 < percent]


def burst_loss(percent, seed, mean=3):
    """Two states (Gilbert): bursts of `mean` packets, so many percent lost in all."""
    if not percent:
        return []
    chosen = random.Random(f"burst{percent}{seed}")
    leave = 1 / mean
    enter = leave * percent / (100 - percent)
    lost, bad = [], False
    for n in range(5, FRAMES):
        bad = chosen.random() >= leave if bad else chosen.random() < enter
        if bad:
            lost.append(n)
    return lost


MODELS = {"random": random_loss, "burst": burst_loss}


class Harness:
    """Answers many jobs; each file is judged as soon as it is there."""

    def __init__(self, program, folder):
        self.program, self.folder = program, Path(folder)

    def run(self, jobs):
        """Each job gets `pesq` and `figures`."""
        for n, job in enumerate(jobs):
            job["out"] = str(self.folder / f"{n}.wav")
            job["skip_ms"] = job.get("judged", LEAD) * 1000
            job["chain_asked"] = job["chain"]
            if job["direction"] == "from_trunk" and job["chain"] == "conceal":
                job["chain_asked"] = "silence"
        fields = ("speech", "out", "direction", "opus", "lost", "skip_ms")
        text = "".join(json.dumps({**{field: job[field] for field in fields}, "chain": job["chain_asked"]}) + "\n" for job in jobs)
        answer = subprocess.run([self.program], input=text, stdout=subprocess.PIPE, text=True, check=True)
        for job, line in zip(jobs, answer.stdout.splitlines(), strict=True):
            job["figures"] = json.loads(line)
        with ThreadPoolExecutor(2) as pool:
            for job, score in zip(jobs, pool.map(self.judge, jobs)):
                job["pesq"] = score
        return jobs

    @staticmethod
    def judge(job):
        first = job.get("judged", LEAD) * RATE
        original = read(job["reference"])[first : first + SECONDS * RATE]
        heard = read(job["out"])[: len(original)]
        if not np.any(heard):
            return 1.0
        return float(pesq(RATE, original, heard, "nb"))


def job(speech, direction, chain, lost, **more):
    """`speech` is heard; `reference` is what it is compared with."""
    return {"speech": speech, "reference": speech, "direction": direction, "chain": chain, "lost": lost, "opus": settings(direction, 0), **more}


def settings(direction, percent):
    base = BROWSER if direction == "from_browser" else OURS
    return {**base, "expected_loss": min(percent, 25)}


def mean(jobs):
    return statistics.fmean(one["pesq"] for one in jobs)


def loss_jobs(speeches, masks):
    jobs = []
    for direction in WORDS:
        for model, make in MODELS.items():
            for percent in LOSSES:
                for chain in ("gateway", "fec", "conceal"):
                    for speech in speeches:
                        for seed in range(masks if percent else 1):
                            asked = settings(direction, 0 if direction == "from_trunk" else percent)
                            if chain == "conceal":
                                asked["expected_loss"] = 0
                            jobs.append(job(speech, direction, chain, make(percent, seed), model=model, percent=percent, opus=asked))
    return jobs


def encoder_jobs(speeches):
    """The encoder by itself: quality without loss, and at 10 % with FEC."""
    jobs = []
    for complexity in (0, 2, 4, 5, 8, 10):
        for bitrate in (12000, 16000, 20000, 24000, 32000, 40000):
            for expected in (0, 10):
                for speech, reference in speeches:
                    jobs.append(
                        job(
                            speech,
                            "to_browser",
                            "fec",
                            random_loss(expected, 1),
                            reference=reference,
                            complexity=complexity,
                            bitrate=bitrate,
                            expected=expected,
                            opus={"bitrate": bitrate, "complexity": complexity, "expected_loss": expected},
                        )
                    )
    return jobs


def recovery_jobs(speeches, masks):
    """Loss towards the browser that begins in the middle of a call, and ends again."""
    jobs = []
    for percent in (5, 10, 20):
        for speech in speeches:
            for seed in range(masks):
                chosen = random.Random(f"spell{percent}{seed}")
                lost = [n for n in range(SPELL[0] * 50, SPELL[1] * 50) if chosen.random() * 100 < percent]
                for when, second in JUDGED.items():
                    jobs.append(job(speech, "to_browser", "gateway", lost, percent=percent, when=when, judged=second))
    return jobs


def pick(jobs, **wanted):
    return [one for one in jobs if all(one[key] == value for key, value in wanted.items())]


def draw_loss(jobs, folder):
    for model in MODELS:
        figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True)
        for axis, direction in zip(axes, WORDS):
            trunk = direction == "from_trunk"
            names = {"gateway": "the gateway", "fec": "last frame again" if trunk else "bare codecs, FEC", "conceal": "silence" if trunk else "bare codecs, no FEC"}
            for chain, name in names.items():
                points = [mean(pick(jobs, direction=direction, model=model, percent=percent, chain=chain)) for percent in LOSSES]
                axis.plot(LOSSES, points, marker="o", label=name, linewidth=2 if chain == "gateway" else 1)
            axis.set_title(WORDS[direction].replace("; ", ";\n"), fontsize=9)
            axis.set_xlabel("packets lost, %")
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
        axes[0].set_ylabel("PESQ-NB (MOS-LQO)")
        figure.suptitle("random loss" if model == "random" else "bursts of 3 packets in the mean", fontsize=10)
        figure.tight_layout()
        figure.savefig(folder / f"quality-loss-{model}.png", dpi=90)
        plt.close(figure)


def draw_encoder(jobs, folder):
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=False)
    for axis, expected in zip(axes, (0, 10)):
        for complexity in sorted({one["complexity"] for one in jobs}):
            rates = sorted({one["bitrate"] for one in jobs})
            of = [pick(jobs, complexity=complexity, bitrate=rate, expected=expected) for rate in rates]
            cost = [statistics.median(one["figures"]["encode_us"] for one in jobs_) for jobs_ in of]
            axis.plot(cost, [mean(jobs_) for jobs_ in of], marker="o", label=f"complexity {complexity}")
            for x, jobs_, rate in zip(cost, of, rates):
                axis.annotate(f"{rate // 1000}k", (x, mean(jobs_)), fontsize=6)
        axis.set_title("no loss" if expected == 0 else "10 % lost, FEC for 10 %", fontsize=9)
        axis.set_xlabel("encoder, microseconds a frame of 20 ms")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("PESQ-NB (MOS-LQO)")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(folder / "quality-encoder.png", dpi=90)
    plt.close(figure)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def target_rows(jobs):
    rows = []
    for direction, percent, least in TARGETS:
        mine = mean(pick(jobs, direction=direction, model="random", percent=percent, chain="gateway"))
        bare = mean(pick(jobs, direction=direction, model="random", percent=percent, chain="fec"))
        rows.append((WORDS[direction], f"{percent} %", least, f"{mine:.2f}", f"{mine - bare:+.2f}", "yes" if mine >= least else "**no**"))
    return rows


def burst_rows(jobs):
    rows = []
    for direction in WORDS:
        for percent in BURST_LOSSES:
            mine, bare = (mean(pick(jobs, direction=direction, model="burst", percent=percent, chain=chain)) for chain in ("gateway", "fec"))
            rows.append((WORDS[direction], f"{percent} %", f"{mine:.2f}", f"{bare:.2f}", "yes" if mine >= bare - CHANCE else "**no**"))
    return rows


def recovery_rows(jobs, losses):
    rows = []
    clean = mean(pick(losses, direction="to_browser", model="random", percent=0, chain="gateway"))
    least = {percent: least for direction, percent, least in TARGETS if direction == "to_browser"}
    for percent, wanted in least.items():
        during, after = (mean(pick(jobs, percent=percent, when=when)) for when in JUDGED)
        rows.append((f"{percent} %", f"{during:.2f}", wanted, f"{after:.2f}", f"{clean:.2f}", "yes" if during >= wanted and after >= clean - 0.03 else "**no**"))
    return rows


def no_loss_rows(jobs):
    rows = []
    for direction in ("from_browser", "to_browser"):
        mine = mean(pick(jobs, direction=direction, model="random", percent=0, chain="gateway"))
        bare = mean(pick(jobs, direction=direction, model="random", percent=0, chain="fec"))
        rows.append((WORDS[direction].split(";")[0].replace(" is lost", ""), f"{mine:.3f}", f"{bare:.3f}", "yes" if abs(mine - bare) <= 0.03 else "**no**"))
    return rows


def loss_rows(jobs, model):
    rows = []
    for direction in WORDS:
        for percent in LOSSES[1:]:
            of = {chain: pick(jobs, direction=direction, model=model, percent=percent, chain=chain) for chain in ("gateway", "fec", "conceal")}
            figures = [one["figures"] for one in of["gateway"]]
            rows.append(
                (
                    WORDS[direction],
                    f"{percent} %",
                    f"{mean(of['gateway']):.2f}",
                    f"{mean(of['fec']):.2f}",
                    f"{mean(of['conceal']):.2f}",
                    f"{min(one['shortest_ms'] for one in figures):.0f}",
                    f"{max(one['longest_ms'] for one in figures):.0f}",
                    f"{max(one['delay_ms'] for one in figures):.0f}",
                )
            )
    return rows


def encoder_rows(jobs):
    reference = statistics.median(one["figures"]["encode_us"] for one in pick(jobs, complexity=0, bitrate=32000, expected=0))
    rows = []
    for complexity in sorted({one["complexity"] for one in jobs}):
        for bitrate in sorted({one["bitrate"] for one in jobs}):
            plain, fec = (pick(jobs, complexity=complexity, bitrate=bitrate, expected=expected) for expected in (0, 10))
            cost = [statistics.median(one["figures"]["encode_us"] for one in of) / reference for of in (plain, fec)]
            rows.append((complexity, f"{bitrate // 1000} k", f"{cost[0]:.2f}", f"{mean(plain):.2f}", f"{cost[1]:.2f}", f"{mean(fec):.2f}"))
    return rows, reference


def write_csv(losses, path):
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("direction", "loss_model", "lost_percent", "chain", "pesq_mean", "pesq_least", "pieces"))
        for direction in WORDS:
            for model in MODELS:
                for percent in LOSSES:
                    for chain in ("gateway", "fec", "conceal"):
                        of = pick(losses, direction=direction, model=model, percent=percent, chain=chain)
                        out.writerow((direction, model, percent, chain, f"{mean(of):.3f}", f"{min(one['pesq'] for one in of):.3f}", len(of)))


def report(losses, encoders, recoveries, speeches, masks, folder):
    rows, reference = encoder_rows(encoders)
    head = ["", "lost", "gateway", "bare codecs, FEC or repeat", "bare codecs, without", "shortest ms between packets", "longest", "largest delay ms"]
    text = f"""# What a call sounds like

Made by `scripts/quality`: PESQ narrowband (ITU-T P.862, MOS-LQO) of {speeches} segments of {SECONDS} s of recorded prompts in {len(LANGUAGES)} languages (Debian's
asterisk-core-sounds), {masks} masks of loss each with fixed seeds, played through the gateway's own `media::Bridge` in virtual time and
through the bare codecs. The far side plays what comes by its timestamps; a browser decodes a lost frame from the packet after it.
4.55 is the most that PESQ gives; G.711 alone has about 4.5.

## What was promised

{table(["", "lost", "at least", "gateway", "against the bare codecs", "kept"], target_rows(losses))}

In bursts of three packets in the mean, never below the bare codecs (by more than {CHANCE}, which is chance):

{table(["", "lost", "gateway", "bare codecs", "kept"], burst_rows(losses))}

A browser that begins to lose packets in the middle of a call, judged from 5 s after its first report on, and that loses none any more, 5 s later:

{table(["lost", "while it loses", "at least", "afterwards", "in a call without loss", "kept"], recovery_rows(recoveries, losses))}

Without loss, within 0.03 of the bare codecs:

{table(["", "gateway", "bare codecs", "kept"], no_loss_rows(losses))}

## Random loss

![PESQ against random loss](quality-loss-random.png)

{table(head, loss_rows(losses, "random"))}

## Bursts

Two states, three packets a burst in the mean.

![PESQ against loss in bursts](quality-loss-burst.png)

{table(head, loss_rows(losses, "burst"))}

The delay of the Opus directions includes nothing of the codec's own; the spacing is that of the packets we sent.

## The encoder

What a setting of `[opus]` costs and how it sounds; half of the segments with pink noise 20 dB below the voice. Costs are CPU time of a
frame, as a ratio to complexity 0 at 32 kbit/s ({reference:.0f} microseconds in this run).

![PESQ against the time of the encoder](quality-encoder.png)

{table(["complexity", "bit/s", "cost", "PESQ", "cost with FEC", "PESQ, 10 % lost"], rows)}
"""
    (folder / "quality.md").write_text(text)
    write_csv(losses, folder / "quality.csv")
    print(text)
    return "**no**" not in text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--harness", required=True)
    parser.add_argument("--quick", action="store_true", help="one segment and one mask of each; nothing is written to docs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        languages = LANGUAGES[:1] if asked.quick else LANGUAGES
        masks = 1 if asked.quick else MASKS
        speeches, encoder_speeches = [], []
        long = []
        for language in languages:
            for number in range(1 if asked.quick else SEGMENTS):
                path, other, five = (Path(folder) / f"{language}{number}{kind}.wav" for kind in ("", "-noise", "-long"))
                speech = segment(language, number + 1)
                write(path, speech)
                write(other, noisy(speech, 20, 1))
                write(five, np.tile(speech[: SECONDS * RATE], 5))
                speeches.append(str(path))
                long.append(str(five))
                encoder_speeches += [(str(path), str(path)), (str(other), str(other))]
        harness = Harness(asked.harness, folder)
        losses = harness.run(loss_jobs(speeches, masks))
        encoders = harness.run(encoder_jobs(encoder_speeches))
        recoveries = harness.run(recovery_jobs(long, masks))
        docs = Path(folder) if asked.quick else Path("docs")
        docs.mkdir(exist_ok=True)
        draw_loss(losses, docs)
        draw_encoder(encoders, docs)
        if not report(losses, encoders, recoveries, len(speeches), masks, docs):
            sys.exit("a promise is not kept: see the rows with **no**")


if __name__ == "__main__":
    main()
