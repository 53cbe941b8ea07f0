#!/usr/bin/env python3
"""A second opinion: settle a period again from its facts and compare every figure.

It reads a facts document ("nines/facts/v1"), computes the settlement by contracts.md and compares
it with the one in the document, digit by digit. The parts follow that page: slots, exclusions,
changes, and the clauses of "How a period is settled", which are meant by "clause N". Arithmetic is
exact (integers and fractions, no floating point); figures are truncated only where they are printed.
"""
from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional
from zoneinfo import ZoneInfo

Interval = tuple[int, int]                       # [start, end) in Unix milliseconds
Readings = list[Optional[Fraction]]              # attainment by the policy, with unknown slots bad, and good
GOOD, BAD, UNKNOWN, NOT_APPLICABLE = range(4)    # what a slot can be
STATES = {"good": GOOD, "bad": BAD, "unknown": UNKNOWN, "open": UNKNOWN, "not applicable": NOT_APPLICABLE}
INCLUDED, AVAILABLE, REMOVED = range(3)          # what an exclusion does to a slot
POLICIES = ("exclude", "bad", "good", "carry")   # for unknown slots
NONE_SEEN = "(none seen)"                        # the resource of an objective that has none
DAY = 86_400_000

class Broken(Exception):
    """The document cannot be settled; the text says where and why."""

# --- Reading the document (verify/README.md) --------------------------------------------------------
WORDS = {                                        # fields that hold one of these, where they are given
    "format": ("nines/facts/v1",), "state": tuple(STATES), "effect": ("removed", "available"), "unknown": POLICIES,
    "denominator": ("calendar", "lifecycle", "traffic", "requests"), "formula": ("slots", "share"),
    "aggregation": ("pooled", "per-resource", "worst"), "combine": ("highest", "sum"),
    "bad_when": ("unreachable", "all_failed", "any_failure", "ratio"), "rule": ("all+any", "all+all", "region-wide"),
    **dict.fromkeys("apart empty_good exclude_partly instants longer lost per_resource run_aligned touched".split(),
                    (False, True))}
MAPS = ("resources", "fee_from", "tiers")        # their keys are no fields but names or instants

def check(value: Any, where: str, field: str) -> None:
    """Refuse what would be misread: unknown words, numbers out of range, spans without time."""
    if field in WORDS and not any(type(value) is type(word) and value == word for word in WORDS[field]):
        raise Broken(f"{where} = {value!r} is none of {', '.join(map(str, WORDS[field]))}")
    if type(value) is float or type(value) is int and not 0 <= value <= 250_000_000_000_000:
        raise Broken(f"{where} = {value} is not whole or out of range")
    if type(value) is list:
        for i, item in enumerate(value):
            check(item, f"{where}[{i}]", field + "[]")
    if type(value) is dict:
        if field == "spans[]" and not (value["start"] < value["end"] and value.get("good", 0) <= value.get("total", 0)):
            raise Broken(f"{where} has no time, or more good events than events")
        for name, inner in value.items():
            check(inner, f"{where}.{name}".lstrip("."), field + ".*" if field in MAPS else name)

def check_document(doc: dict) -> None:
    """What must hold between the fields. What is missing or of a wrong kind shows where it is used."""
    if type(doc) is not dict:
        raise Broken("not a facts document: not an object")
    check({key: value for key, value in doc.items() if key != "settlement"}, "", "")
    contract, period = doc["contract"], doc["period"]
    if not contract["objectives"] or period["start"] >= period["end"] or not doc["format"]:
        raise Broken("the contract has no objectives, or the period no time")
    for o in contract["objectives"]:
        shortest = min(o["slot"]["length_ms"], slot_length(o))
        if shortest <= 0 or (period["end"] - period["start"]) // shortest > 40_000_000:
            raise Broken(f"{o['name']}: the slots are too short")
        if len({r["name"] for r in resources_of(doc, o)}) < len(resources_of(doc, o)):
            raise Broken(f"{o['name']}: two resources have the same name")

def resources_of(doc: dict, objective: dict) -> list[dict]:
    return (doc.get("resources") or {}).get(objective["name"]) or []

def ratio(value: Optional[dict]) -> Optional[Fraction]:
    """A ratio {"num", "den"}; a den of 0, or a ratio left out, is no value."""
    return Fraction(value.get("num", 0), value["den"]) if value and value.get("den") else None

def slot_length(objective: dict) -> int:
    """The length of the slots that are settled: those of `runs`, or the measured ones."""
    return (objective.get("runs") or {}).get("slot_ms") or objective["slot"]["length_ms"]

# --- Slots (contracts.md, "Slots") ------------------------------------------------------------------
class Grid:
    """Slots follow each other from the period's start; what is left at its end is no slot."""
    def __init__(self, start: int, end: int, length: int):
        self.start, self.length, self.count = start, length, max(0, end - start) // length

    def begins(self, i: int) -> int:
        """The instant at which slot i begins."""
        return self.start + i * self.length

    def first_from(self, t: int) -> int:
        """The first slot that begins at or after t (the count of slots, if none does)."""
        return min(max(-((self.start - t) // self.length), 0), self.count)

    def touched(self, a: int, b: int) -> range:
        """Slots that share time with [a, b)."""
        return range(min(max((a - self.start) // self.length, 0), self.count), self.first_from(b))

    def covered(self, a: int, b: int) -> range:
        """Slots that lie wholly within [a, b)."""
        first = self.first_from(a)
        return range(first, max(first, min((b - self.start) // self.length, self.count)))

def mark(row: bytearray, slots: range, value: int) -> None:
    row[slots.start:slots.stop] = bytes([value]) * len(slots)

def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Overlapping and adjoining intervals as one, in order."""
    out: list[Interval] = []
    for a, b in sorted(intervals):
        if out and a <= out[-1][1]:
            out[-1] = (out[-1][0], max(b, out[-1][1]))
        elif a < b:
            out.append((a, b))
    return out

def overlaps(intervals: Iterable[Interval], grid: Grid) -> dict[int, int]:
    """How many milliseconds of each slot lie in the intervals; slots with none are left out."""
    ms: dict[int, int] = {}
    for a, b in intervals:
        for i in grid.touched(a, b):
            begin = grid.begins(i)
            ms[i] = ms.get(i, 0) + min(b, begin + grid.length) - max(a, begin)
    return ms

class Series:
    """One resource of an objective, or a service of several instances, slot by slot."""
    def __init__(self, name: str, instances: list[str], slots: int, state: int = GOOD):
        self.name, self.instances, self.state = name, instances, bytearray([state]) * slots
        self.total, self.good, self.down = [0] * slots, [0] * slots, [0] * slots     # events; down time in ms

def judge(doc: dict, objective: dict, resource: dict, grid: Grid) -> Series:
    """Clause 1: the slots of a resource as good, bad or unknown."""
    out = Series(resource["name"], [payer(resource)], grid.count)
    read_spans = judge_instants if doc.get("instants") else judge_ledger
    read_spans(objective, resource.get("spans") or [], grid, out)
    return out

def judge_instants(objective: dict, spans: list[dict], grid: Grid, out: Series) -> None:
    """`nines settle`: down time decides, where it does not, events do. Bad outranks unknown."""
    bad = union((s["start"], s["end"]) for s in spans if s["state"] == "bad")
    maybe = union(bad + [(s["start"], s["end"]) for s in spans if STATES[s["state"]] == UNKNOWN])
    slot, down = objective["slot"], overlaps(bad, grid)
    for i, at_most in overlaps(maybe, grid).items():
        at_least = out.down[i] = down.get(i, 0)
        if fails(slot, at_most, grid.length):
            out.state[i] = BAD if fails(slot, at_least, grid.length) else UNKNOWN
    if objective.get("runs"):
        out.state = states_by_runs(objective["runs"], bad, maybe, grid)
    for s in [s for s in spans if s.get("total")]:
        total, good = s["total"], s.get("good", 0)
        verdict = BAD if fails(slot, total - good, total) else GOOD
        if total < slot.get("min_count", 0):
            verdict = GOOD if slot.get("empty_good") else UNKNOWN
        for i in range(grid.first_from(s["start"]), grid.first_from(s["end"])):
            out.total[i], out.good[i] = total, good
            if out.state[i] == GOOD:
                out.state[i] = verdict

def fails(slot: dict, failed: int, of: int) -> bool:
    """`badWhen`, of events that failed or of milliseconds that were down."""
    if slot["bad_when"] == "any_failure":
        return failed > 0
    if slot["bad_when"] == "ratio":
        limit = slot["max_ratio"]
        return failed * limit["den"] > limit.get("num", 0) * of
    return failed >= of                                          # unreachable, all_failed

def judge_ledger(objective: dict, spans: list[dict], grid: Grid, out: Series) -> None:
    """`nines statement`: spans are slots, a later one overrides; slots in no span are unknown."""
    runs, measured = objective.get("runs"), grid
    if runs:                                  # the measured slots, those before and after the period, too
        length = objective["slot"]["length_ms"]
        before = max([0] + [grid.start - s["start"] for s in spans])
        start = grid.start - -(-before // length) * length
        measured = Grid(start, max([grid.begins(grid.count)] + [s["end"] for s in spans]), length)
    row = bytearray([UNKNOWN]) * measured.count
    for s in spans:
        slots = measured.covered(s["start"], s["end"])
        mark(row, slots, STATES[s["state"]])
        if not runs:
            out.total[slots.start:slots.stop] = [s.get("total", 0)] * len(slots)
            out.good[slots.start:slots.stop] = [s.get("good", 0)] * len(slots)
    out.state = row
    if runs:
        last, i = measured.begins(measured.count), 0
        # A run that begins before the first slot is aligned to the clock.
        outside = grid.start - -(-(grid.start - measured.start + DAY) // grid.length) * grid.length
        time = {GOOD: [], BAD: [], UNKNOWN: [(outside, measured.start), (last, last + DAY)]}
        for state, run in groupby(row):
            n = sum(1 for _ in run)
            time[state].append((measured.begins(i), measured.begins(i + n)))
            i += n
        out.state = states_by_runs(runs, time[BAD], time[BAD] + time[UNKNOWN], grid)

def states_by_runs(runs: dict, bad: list[Interval], maybe: list[Interval], grid: Grid) -> bytearray:
    """Bad if it is with the unknown time up, good if it is with the unknown time down, else unknown."""
    pairs = zip(bad_by_runs(runs, bad, grid), bad_by_runs(runs, maybe, grid))
    return bytearray(BAD if up else UNKNOWN if down else GOOD for up, down in pairs)

def bad_by_runs(runs: dict, bad: list[Interval], grid: Grid) -> bytearray:
    """`runs`: which slots are bad (1), where this time was bad."""
    least, over = runs.get("min_run_ms", 0) + (1 if runs.get("longer") else 0), runs.get("over_ms", 0)
    left = [(a, b) for a, b in union(bad) if b - a >= least]
    row = bytearray(grid.count)
    if over:                                                     # downForMoreThan
        for i, ms in overlaps(left, grid).items():
            row[i] = ms > over
    elif runs.get("run_aligned"):                                # alignment: run
        for a, b in left:
            first = a + max(0, -((a - grid.start) // grid.length)) * grid.length
            for begin in range(first, b - grid.length + 1, grid.length):
                mark(row, grid.touched(begin, begin + 1), 1)
    else:                                                        # alignment: clock
        for a, b in left:
            mark(row, grid.touched(a, b) if runs.get("touched") else grid.covered(a, b), 1)
    return row

def services(doc: dict, objective: dict, resources: list[dict], grid: Grid) -> list[Series]:
    """`zones`: the instances of a group make one service; one that stopped time touches does not run."""
    groups: dict[str, list[dict]] = {}
    for r in resources:
        groups.setdefault(r.get("group", ""), []).append(r)
    out = []
    for group in sorted(groups):
        service = Series(group or "all zones", [payer(r) for r in groups[group]], grid.count)
        rows = []
        for r in groups[group]:
            rows.append(judge(doc, objective, r, grid).state)
            for a, b in r.get("stopped") or []:
                mark(rows[-1], grid.touched(a, b), NOT_APPLICABLE)
        zones = [r.get("zone", "") for r in groups[group]]
        verdict = {column: service_state(objective["zones"], zones, column) for column in set(zip(*rows))}
        service.state = bytearray(verdict[column] for column in zip(*rows))
        out.append(service)
    return out

def service_state(rule: dict, zones: list[str], states: tuple[int, ...]) -> int:
    """One slot of a service: unknown if taking every unknown instance for good, and for bad, differ."""
    running = [(zone, state) for zone, state in zip(zones, states) if state != NOT_APPLICABLE]
    in_use = {zone for zone, _ in running}
    if len(in_use) < 2:
        return NOT_APPLICABLE

    def is_bad(*counts_as_bad: int) -> bool:
        up = {zone for zone, state in running if state not in counts_as_bad}
        hit = {zone for zone, state in running if state in counts_as_bad}
        down = in_use - up
        if rule["rule"] == "all+all":
            return len(down) >= (rule.get("at_least") or 2)
        if rule["rule"] == "region-wide":
            return down == in_use
        return any(hit - {zone} for zone in down)                # all+any

    return BAD if is_bad(BAD) else UNKNOWN if is_bad(BAD, UNKNOWN) else GOOD

def apply_denominator(objective: dict, series: Series, stopped: list[Interval], grid: Grid) -> None:
    """`denominator`: slots that do not count become not applicable."""
    kind, state = objective["denominator"], series.state
    for a, b in union((a, b) for a, b in stopped):
        if kind != "calendar":
            mark(state, grid.touched(a, b), NOT_APPLICABLE)
        for i in grid.covered(a, b) if kind == "calendar" else ():
            state[i] = state[i] if state[i] in (BAD, NOT_APPLICABLE) else GOOD
    without_events = {"traffic": (GOOD,), "requests": (GOOD, BAD)}.get(kind, ())
    for i in range(grid.count if without_events else 0):
        if not series.total[i] and state[i] in without_events:
            state[i] = NOT_APPLICABLE

# --- Exclusions -------------------------------------------------------------------------------------
def stretches_of(name: str, start: int, end: int) -> list[tuple[int, int, int]]:
    """(from, to, offset): time in which the clock keeps its distance from UTC, in milliseconds. Clocks
    change at quarters of an hour (everywhere since 2012)."""
    zone, quarter, out = ZoneInfo(name), DAY // 96, []
    times = range(start // quarter * quarter, end, quarter)
    for offset, run in groupby(times, key=lambda t: datetime.fromtimestamp(t // 1000, zone).utcoffset()):
        stretch = list(run)
        out.append((stretch[0], stretch[-1] + quarter, offset // timedelta(milliseconds=1)))
    return out

def occurrences(exclusion: dict, time_zone: str, start: int, end: int) -> Iterator[list[Interval]]:
    """When an exclusion holds; each occurrence is a list of intervals. `recurs` is by the clock: where
    it leaves a time out there is nothing, a time that it shows twice is there twice."""
    first, last, recurs = exclusion.get("start", 0), exclusion.get("end", 0), exclusion.get("recurs")
    if not recurs:
        yield [(first, last)]
        return
    begins, ends = recurs.get("from_ms", 0), recurs.get("to_ms", 0)
    ends += DAY if ends <= begins else 0
    stretches = stretches_of(recurs.get("time_zone") or time_zone, start - 3 * DAY, end + 3 * DAY)
    for day in range(start // DAY - 3, end // DAY + 3):
        if (day + 4) % 7 in (recurs.get("days") or range(7)):    # day 0, 1 January 1970: a Thursday
            found = [(max(day * DAY + begins - offset, a, first), min(day * DAY + ends - offset, b, last or b))
                     for a, b, offset in stretches]
            yield [(a, b) for a, b in found if a < b]

def excluded_time(contract: dict, start: int, end: int) -> dict[str, list[Interval]]:
    """The approved time of the period by effect: after approval, notice and allowance."""
    terms = {t["category"]: t for t in contract.get("exclusion_terms") or []}
    applied: dict[str, list[tuple[int, int, str]]] = {}
    for e in contract.get("exclusions") or []:
        if not e.get("approved_by") or e["approved_by"] == e.get("author"):
            continue
        category, announced = e.get("category", ""), e.get("announced", 0)
        notice = terms.get(category, {}).get("notice_ms", 0)
        for pieces in occurrences(e, contract["time_zone"], start, end):
            if notice and pieces and (not announced or pieces[0][0] - announced < notice):
                continue
            applied.setdefault(category, []).extend(
                (max(a, start), min(b, end), e["effect"]) for a, b in pieces if a < end and b > start)
    out: dict[str, list[Interval]] = {"removed": [], "available": []}
    for category, found in applied.items():
        left, spent_to = terms.get(category, {}).get("allowance_ms", 0) or end - start, start
        for a, b, effect in sorted(found, key=lambda x: x[0]):
            unspent = max(a, spent_to)                           # time that two cover is spent once
            b = min(b, unspent + left)
            left -= max(b - unspent, 0)
            spent_to = max(spent_to, b)
            if a < b:
                out[effect].append((a, b))
    return out

def exclusion_row(contract: dict, time: dict[str, list[Interval]], grid: Grid) -> bytearray:
    """Clause 2: what happens to each slot that the time covers wholly (excludePartly: touches). Where removed
    time alone does, `removed` holds."""
    row = bytearray(grid.count)
    slots = grid.touched if contract.get("exclude_partly") else grid.covered
    for intervals, effect in ((time["removed"] + time["available"], AVAILABLE), (time["removed"], REMOVED)):
        for a, b in union(intervals):
            mark(row, slots(a, b), effect)
    return row

# --- Counting slots (clauses 2 to 5) ----------------------------------------------------------------
SLOTS = ("applicable", "good", "bad", "unknown", "excluded", "not_applicable")
# A tally is a Counter of these and of: weight, what the decided slots weigh (1 each, or with `requests`
# their events); lost, how much of it failed; carried, the unknown slots that have a decided slot before
# them, and carried_lost, what they lose by its example. Resources are pooled by adding their tallies.

def readings(t: Counter, policy: str) -> Readings:
    """Clauses 4, 5 and 8: the attainment by the policy, with all unknown slots bad, and with all good. An
    unknown slot weighs as much as a decided one on average, or 1."""
    average = Fraction(t["weight"], t["good"] + t["bad"]) if t["weight"] else Fraction(1)
    counted = {"exclude": (0, 0), "good": (t["unknown"], 0), "bad": (t["unknown"], t["unknown"]),
               "carry": (t["carried"], t["carried_lost"])}
    out = []
    for unknown, lost in (counted[policy], counted["bad"], counted["good"]):
        whole = t["weight"] + average * unknown
        out.append(1 - (t["lost"] + average * lost) / whole if whole else None)
    return out

def tally(objective: dict, series: Series, exclusion: bytearray, slots: range, length: int) -> Counter:
    """Clauses 2 to 4: count the slots of a resource; equal slots in a row are taken together."""
    by_events, share = objective["denominator"] == "requests", objective.get("formula") == "share"
    by_time = share and objective["denominator"] in ("calendar", "lifecycle")
    out, last, cut = Counter(), None, slice(slots.start, slots.stop)     # last: loss of the last decided slot
    columns = zip(series.state[cut], exclusion[cut], series.total[cut], series.good[cut], series.down[cut])
    for (state, effect, total, good, down), run in groupby(columns):
        n, before = sum(1 for _ in run), last
        weight = n * total if by_events else n
        if state == NOT_APPLICABLE:
            out["not_applicable"] += n
            continue
        if state != UNKNOWN:                                     # `formula`
            last = Fraction(state == BAD)
            if total and (by_events or share):
                last = Fraction(total - good, total)
            elif down and by_time:
                last = Fraction(down, length)
        out["excluded"] += n * (effect != INCLUDED)
        if effect == REMOVED:
            continue
        out["applicable"] += n
        if effect == AVAILABLE:
            out.update(good=n, weight=weight)
        elif state != UNKNOWN:
            out.update({"good" if state == GOOD else "bad": n}, weight=weight, lost=weight * last)
        else:
            out["unknown"] += n
            if before is not None:
                out.update(carried=n, carried_lost=n * before)
    return out

def measure(doc: dict) -> list[tuple[dict, Grid, list[Series], bytearray]]:
    """Clauses 1 and 2: each objective, its slots, its resources (clause 9: or one that is unknown throughout),
    and what exclusions do to its slots."""
    contract, start, end = doc["contract"], doc["period"]["start"], doc["period"]["end"]
    time, out = excluded_time(contract, start, end), []
    for o in contract["objectives"]:
        grid, resources = Grid(start, end, slot_length(o)), resources_of(doc, o)
        if o.get("zones"):
            series = services(doc, o, resources, grid)
        else:
            series = [judge(doc, o, r, grid) for r in resources]
        for k, s in enumerate(series):
            apply_denominator(o, s, [] if o.get("zones") else resources[k].get("stopped") or [], grid)
        series = series or [Series(NONE_SEEN, [NONE_SEEN], grid.count, UNKNOWN)]
        for s in series if doc.get("until") else []:      # a running period: what ends later is not applicable
            mark(s.state, range(len(grid.covered(start, doc["until"])), grid.count), NOT_APPLICABLE)
        out.append((o, grid, series, exclusion_row(contract, time, grid)))
    return out

# --- Fees and changes (clause 6, "Changes") ---------------------------------------------------------
@dataclass
class Part:
    """A part of the period, with its terms."""
    start: int
    end: int
    fee: dict
    tiers: dict[str, list[dict]]

def parts_of(doc: dict, apart: bool) -> list[Part]:
    """"Changes": the period, cut at the first instants at which slots of all objectives begin; where changes
    settle apart, it is cut as well where a resource's own fee changes."""
    contract, start, end = doc["contract"], doc["period"]["start"], doc["period"]["end"]
    cuts = list((contract.get("changes") or {}).get("at") or [])
    if apart:
        cuts += [{"from": int(t)} for o in contract["objectives"] for r in resources_of(doc, o)
                 for t in r.get("fee_from") or {}]
    step = math.lcm(*(slot_length(o) for o in contract["objectives"]))
    parts = [Part(start, end, contract["fee"], {o["name"]: o.get("tiers") or [] for o in contract["objectives"]})]
    for c in sorted(cuts, key=lambda c: c["from"]):
        at, last = start + max(0, -((start - c["from"]) // step)) * step, parts[-1]
        if at >= end:
            break
        if at > last.start:
            last.end = at
            parts.append(Part(at, end, last.fee, last.tiers))
        parts[-1].fee = c.get("fee") or last.fee
        parts[-1].tiers = {**last.tiers, **(c.get("tiers") or {})}
    return parts

def own_fee(resource: dict, part: Optional[Part], start: int, end: int) -> Optional[int]:
    """A resource's own fee, of a part or (None) of the whole period; None if it has none. fee_minor holds
    until the first instant of fee_from; if it is left out, the resource has no own fee until then."""
    fees = [(0, resource.get("fee_minor", 0))]
    fees += sorted((int(t), fee) for t, fee in (resource.get("fee_from") or {}).items())
    if part:                                                     # its share of the fee at its start
        since, fee = max(x for x in fees if x[0] <= part.start)
        return fee * (part.end - part.start) // (end - start) if since or fee else None
    times = [min(max(t, start), end) for t, _ in fees] + [end]
    weighted = sum(fee * (b - a) for (_, fee), a, b in zip(fees, times, times[1:]))
    return None if fees == [(0, 0)] else weighted // (end - start)

def payer(resource: dict) -> str:
    """The name under which a resource's fee is added up, once."""
    return resource.get("of") or resource["name"]

def fees_of(doc: dict, fee: dict, minor: int, part: Optional[Part]) -> tuple[dict[str, int], int]:
    """Clause 6: the fee of each of the distinct resources, and of all of them. What was not seen is
    priced like a resource without an own fee, but adds none."""
    own: dict[str, Optional[int]] = {}
    for o in doc["contract"]["objectives"]:
        for r in resources_of(doc, o):
            mine = own_fee(r, part, doc["period"]["start"], doc["period"]["end"])
            own[payer(r)] = own.get(payer(r)) if mine is None else mine
    share = minor if fee.get("per_resource") else minor // max(1, len(own))
    fees = {name: share if mine is None else mine for name, mine in own.items()}
    adds_up = fees and fee.get("per_resource") or any(mine is not None for mine in own.values())
    return {**fees, NONE_SEEN: share}, sum(fees.values()) if adds_up else minor

# --- Credits (clauses 5 to 8) -----------------------------------------------------------------------
@dataclass
class Result:
    """The figures of a resource, an objective, a part or the contract. attainments and amounts (in minor
    units): by the policy for unknown slots, with these bad, and with these good."""
    name: str
    tally: Counter
    attainments: Readings
    percent: Fraction
    amounts: list[int]
    resources: Optional[list[Result]] = None

def rank(attainment: Optional[Fraction]) -> tuple[bool, Fraction]:
    """Order of attainments: the lowest first, none at all last."""
    return attainment is None, attainment or Fraction(0)

def percent_of(objective: dict, tiers: list[dict], attainment: Optional[Fraction]) -> Fraction:
    """Clause 5: the lowest tier missed; `lost` credits what failed; at most the objective's cap, and 1."""
    missed = [t for t in tiers if attainment is not None and attainment < ratio(t["below"])]
    tier = min(missed, key=lambda t: ratio(t["below"]), default={})
    percent = 1 - attainment if tier.get("lost") else ratio(tier.get("credit")) or Fraction(0)
    return min(percent, at_most_all(objective))

def at_most_all(terms: dict) -> Fraction:
    """`cap`, and never more than the fee."""
    cap = ratio(terms.get("cap"))
    return Fraction(1) if cap is None else min(cap, Fraction(1))

def paid(amount: int, minimum: int) -> int:
    """`minimum`: a credit below it is not paid."""
    return amount if amount >= minimum else 0

def price(objective: dict, tiers: list[dict], name: str, t: Counter, at: Readings, fee: int, minimum: int) -> Result:
    """Clause 6: fee × percent, truncated, then the minimum; clause 7: 0 % where that is not reached."""
    percents = [percent_of(objective, tiers, a) for a in at]
    amounts = [paid(int(fee * percent), minimum) for percent in percents]
    return Result(name, t, at, percents[0] if int(fee * percents[0]) >= minimum else Fraction(0), amounts)

def settle_objective(objective: dict, tiers: list[dict], name: str, tallies: dict[str, Counter],
                     fees: dict[str, int], fee: int) -> Result:
    """`aggregation`: pooled, per-resource or worst. Resources are shown before the objective's minimum."""
    minimum, policy = objective.get("minimum", 0), objective["unknown"]
    if objective["aggregation"] == "pooled":
        t = sum(tallies.values(), Counter())
        return price(objective, tiers, name, t, readings(t, policy), fee, minimum)
    apart = objective["aggregation"] == "per-resource"
    each = [price(objective, tiers, n, t, readings(t, policy), fees[n] if apart else fee, 0)
            for n, t in tallies.items()]
    lowest = [min(column, key=rank) for column in zip(*(r.attainments for r in each))]
    shown = min(each, key=lambda r: rank(r.attainments[0]))
    out = price(objective, tiers, name, shown.tally, lowest, fee, minimum)
    if apart:
        sums = [sum(column) for column in zip(*(r.amounts for r in each))]
        out.amounts = [paid(amount, minimum) for amount in sums]
        weights = [Fraction(fees[r.name], fee) if fee > 0 else Fraction(1, len(each)) for r in each]
        out.percent = sum((r.percent * w for r, w in zip(each, weights)), Fraction(0))
        if sums[0] < minimum:
            out.percent = Fraction(0)
    out.resources = each
    return out

def settle_part(contract: dict, measured: list, part: Part, fees: dict[str, int], total: int,
                suffix: str) -> tuple[Result, list[Result]]:
    """All objectives under one set of terms; then combine, cap and minimum of the contract."""
    results = []
    for o, grid, series, exclusion in measured:
        slots = range(grid.first_from(part.start), grid.first_from(part.end))
        tallies = {s.name: tally(o, s, exclusion, slots, grid.length) for s in series}
        parts = Counter(s.instances[0] for s in series if not o.get("zones"))   # of one resource: even shares
        costs = {s.name: sum(fees[i] // max(1, parts[i]) for i in set(s.instances)) for s in series}
        results.append(settle_objective(o, part.tiers[o["name"]], o["name"] + suffix, tallies, costs, total))
    together = sum if contract.get("combine") == "sum" else max
    cap, minimum, top = at_most_all(contract), contract.get("minimum", 0), decisive(results)
    sums = [min(together(column), int(total * cap)) for column in zip(*(r.amounts for r in results))]
    amounts = [paid(amount, minimum) for amount in sums]
    percent = sum((r.percent for r in results), Fraction(0)) if together is sum else top.percent
    percent = min(percent, cap) if sums[0] >= minimum else Fraction(0)
    return Result("", top.tally, top.attainments, percent, amounts), results

def decisive(results: list[Result]) -> Result:
    """The one with the greatest credit, of these with the lowest attainment."""
    return min(results, key=lambda r: (-r.amounts[0], rank(r.attainments[0])))

def settle(doc: dict) -> dict:
    """The settlement of a facts document, with the keys of contracts.md (without steps)."""
    contract, start, end = doc["contract"], doc["period"]["start"], doc["period"]["end"]
    apart = (contract.get("changes") or {}).get("apart", False)
    parts, measured, tops, results, paid_on = parts_of(doc, apart), measure(doc), [], [], 0
    minors = [p.fee.get("minor", 0) * (p.end - p.start) // (end - start) for p in parts]
    if not apart:                                # pooled: under the terms last in force
        parts, minors = [Part(start, end, parts[-1].fee, parts[-1].tiers)], [sum(minors)]
    for part, minor in zip(parts, minors):
        at = datetime.fromtimestamp(part.start // 1000, timezone.utc).strftime("@%Y-%m-%dT%H:%M:%SZ")
        fees, total = fees_of(doc, part.fee, minor, part if apart else None)
        top, found = settle_part(contract, measured, part, fees, total, at if len(parts) > 1 else "")
        tops.append(top)
        results += found
        paid_on += total
    top = decisive(tops)
    if len(parts) > 1:
        amounts = [sum(column) for column in zip(*(t.amounts for t in tops))]
        percent = Fraction(amounts[0], paid_on) if paid_on else Fraction(0)
        top = Result("", top.tally, top.attainments, percent, amounts)
    currency = parts[-1].fee["currency"]
    return {"contract": contract["name"], "period": doc["period"]["name"], "time_zone": contract["time_zone"],
            **figures(top, currency), "objectives": [{"name": r.name, **figures(r, currency)} for r in results]}

# --- Printing and comparing -----------------------------------------------------------------------
DECIMALS = {**dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
            **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3), "CLF": 4, "UYW": 4}

def decimal(number: int, places: int) -> str:
    digits = str(number).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits

def pct(value: Optional[Fraction]) -> str:
    """Five decimals of a percentage, truncated; empty where no slot counts."""
    return "" if value is None else decimal(int(value * 10_000_000), 5)

def figures(r: Result, currency: str) -> dict:
    """The figures of a result, as contracts.md, "JSON", names them."""
    by_policy, low, high = map(pct, r.attainments)
    amount, at_bad, at_good = (decimal(x, DECIMALS.get(currency, 2)) for x in r.amounts)
    t = r.tally
    coverage = Fraction(t["good"] + t["bad"], t["applicable"]) if t["applicable"] else None      # clause 3
    out = {"slots": {key: t[key] for key in SLOTS}, "attainment_pct": by_policy, "coverage_pct": pct(coverage),
           "bounds": {"attainment_low_pct": low, "attainment_high_pct": high,
                      "credit_low": at_good, "credit_high": at_bad},
           "credit": {"percent": pct(r.percent).rstrip("0").rstrip("."), "amount": amount, "currency": currency}}
    if r.resources is not None:
        out["resources"] = [{"name": x.name, **figures(x, currency)} for x in r.resources]
    return out

def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every figure with its path; `steps` explain and are left out."""
    if type(value) is dict:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip(".")) if key != "steps" else ()
    elif type(value) is list:
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{i}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)

def read(name: str) -> dict:
    """One facts document, from a file or standard input."""
    try:
        doc = json.loads(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes(),
                         object_pairs_hook=lambda pairs: {k: v for k, v in pairs if v is not None})
    except (OSError, ValueError, RecursionError) as e:
        raise Broken(f"not a facts document: {e}") from None
    check_document(doc)
    return doc

def opinion(name: str, show: bool) -> int:
    """Settle one file, print what came of it, and return its exit code."""
    doc = read(name)
    ours = settle(doc)
    if show:
        print(json.dumps(ours, indent=2, ensure_ascii=False))
        return 0
    if not doc.get("settlement"):
        raise Broken("settlement is missing: nothing to compare with")
    theirs, mine = dict(leaves(doc["settlement"])), dict(leaves(ours))
    found = [path for path in {**theirs, **mine} if theirs.get(path) != mine.get(path)]
    for path in found:
        print(f"{name}: {path}: nines {theirs.get(path, '-')}, second opinion {mine.get(path, '-')}")
    if not found:
        print(f"agree {name}: {ours['contract']}, {ours['period']}: credit {ours['credit']['amount']}")
    return 1 if found else 0

def main() -> int:
    parser = argparse.ArgumentParser(
        description="Settle a period again from its facts, and compare every figure with what nines computed.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  nines statement --contract shop --month 2026-11 --format facts > november.json\n"
               "  python3 nines_verify.py november.json\n\n"
               "exit codes: 0 all agree, 1 a figure differs, 2 a file cannot be read or settled")
    parser.add_argument("files", nargs="+", metavar="FILE", help="facts document; - is standard input")
    parser.add_argument("--show", action="store_true", help="print the recomputed figures as JSON, compare nothing")
    args = parser.parse_args()
    worst = 0
    for name in args.files:
        try:
            code = opinion(name, args.show)
        except (Broken, ArithmeticError, AttributeError, LookupError, MemoryError, OSError, TypeError, ValueError) as e:
            kind = "" if type(e) is Broken else "missing: " if type(e) is KeyError else "of a wrong kind: "
            print(f"{name}: {kind}{e}", file=sys.stderr)
            code = 2
        worst = max(worst, code)
    return worst

if __name__ == "__main__":
    sys.exit(main())
