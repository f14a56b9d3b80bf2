"""A team of threads for the tasks of one kernel at a time, as native code on POSIX threads.

The caller of a launch never waits for a thread that has not begun: it offers tickets, works itself, takes the tickets
back that nobody has used, and waits only for those who are at work. So a thread that wakes late, or on the caller's own
core, costs nothing but its help; a fork-join runtime, whose barrier waits for every thread, stands still meanwhile
(docs/performance.md). Threads that find no ticket spin for a while, offering their core in between, and then sleep.

A team is memory: the launch function's address, then what `_PLACES` names. The gate is one word of three numbers, so
that a ticket is taken and counted in one exchange: the launch's number, tickets left, threads at work.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from string import Template

#: Name of the function ``void *trueno_team(void *team)``: sets the launch function, returns what threads run.
SYMBOL = "trueno_team"
#: Waits for a ticket before a thread sleeps: of some 40 ns each (Skylake and later) that is a sixth of a millisecond.
_SPINS = 4096
#: Byte offsets; the gate has a cache line of its own, mutex and condition have room for any C library's.
_PLACES = {
    "gate": 64, "busy": 128, "body": 136, "data": 144, "sleepers": 152, "started": 160, "stop": 168, "core": 176,
    "excluded": 180, "mutex": 192, "condition": 320, "allowed": 448, "others": 576, "asleep": 704,
}  # fmt: skip
#: Threads that can be told where to wake up, by their number.
_MOVABLE = 1024
_SIZE = 704 + 4 * _MOVABLE

_PAUSE = {
    "x86_64": ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"),
    "aarch64": ("call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"),
}

_SOURCE = """
define ptr @trueno_team(ptr %team) #0 {
entry:
  store ptr @launch, ptr %team
  ${mutex}
  ${condition}
  call i32 @pthread_mutex_init(ptr %mutex.at, ptr null)
  call i32 @pthread_cond_init(ptr %condition.at, ptr null)
  ret ptr @worker
}
define internal void @launch(ptr %team, ptr %body, ptr %data, i64 %threads) #0 {
entry:
  ${busy}
  ${gate}
  %was = atomicrmw xchg ptr %busy.at, i64 1 acquire
  %mine = icmp eq i64 %was, 0
  br i1 %mine, label %open, label %alone
alone: ; another thread's launch has the team: the body takes all shares that nobody takes
  call void %body(ptr %data, i64 0)
  ret void
open:
  ${body}
  ${data}
  store ptr %body, ptr %body.at, align 8
  store ptr %data, ptr %data.at, align 8
  ${note}
  %last = load atomic i64, ptr %gate.at monotonic, align 8
  %number = and i64 %last, -4294967296
  %next = add i64 %number, 4294967296
  %others = sub i64 %threads, 1
  %tickets = shl i64 %others, 16
  %offer = or i64 %next, %tickets
  store atomic i64 %offer, ptr %gate.at seq_cst, align 8
  ${sleepers}
  %asleep = load atomic i64, ptr %sleepers.at seq_cst, align 8
  %any = icmp sgt i64 %asleep, 0
  br i1 %any, label %wake, label %work
wake:
  ${mutex}
  ${condition}
  call i32 @pthread_mutex_lock(ptr %mutex.at)
  ${turn}
  call i32 @pthread_cond_broadcast(ptr %condition.at)
  call i32 @pthread_mutex_unlock(ptr %mutex.at)
  br label %work
work:
  call void %body(ptr %data, i64 0)
  br label %close
close:
  %now = load atomic i64, ptr %gate.at monotonic, align 8
  %closed = and i64 %now, -4294901761
  %exchange = cmpxchg ptr %gate.at, i64 %now, i64 %closed seq_cst monotonic
  %done = extractvalue { i64, i1 } %exchange, 1
  br i1 %done, label %wait, label %close
wait:
  %turn = phi i64 [ 0, %close ], [ %turn.next, %relax ]
  %state = load atomic i64, ptr %gate.at acquire, align 8
  %active = and i64 %state, 65535
  %quiet = icmp eq i64 %active, 0
  br i1 %quiet, label %end, label %relax
relax:
  %turn.next = add i64 %turn, 1
  call void @relax(i64 %turn.next)
  br label %wait
end:
  store atomic i64 0, ptr %busy.at release, align 8
  ret void
}
define internal ptr @worker(ptr %team) #0 {
entry:
  ${masks}
  ${gate}
  ${stop}
  ${started}
  ${sleepers}
  ${mutex}
  ${condition}
  %before = atomicrmw add ptr %started.at, i64 1 monotonic
  %number = add i64 %before, 1
  br label %spin
spin:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %go.on ], [ %turn, %try ], [ 0, %run ], [ 0, %rise ], [ 0, %return ]
  %state = load atomic i64, ptr %gate.at acquire, align 8
  %tickets = and i64 %state, 4294901760
  %offered = icmp ne i64 %tickets, 0
  br i1 %offered, label %try, label %check
try:
  %taken = sub i64 %state, 65535
  %exchange = cmpxchg ptr %gate.at, i64 %state, i64 %taken seq_cst monotonic
  %mine = extractvalue { i64, i1 } %exchange, 1
  br i1 %mine, label %run, label %spin
run:
  ${body}
  ${data}
  %body = load ptr, ptr %body.at, align 8
  %data = load ptr, ptr %data.at, align 8
  call void %body(ptr %data, i64 %number)
  %left = atomicrmw sub ptr %gate.at, i64 1 seq_cst
  br label %spin
check:
  %stopped = load atomic i64, ptr %stop.at monotonic, align 8
  %go = icmp eq i64 %stopped, 0
  br i1 %go, label %again, label %leave
again:
  %turn.next = add i64 %turn, 1
  %ripe = and i64 %turn.next, 63
  %look = icmp eq i64 %ripe, 0
  br i1 %look, label %part, label %go.on
part: ; before the core is offered: the caller, if it is there, keeps it for a time slice
  ${part}
  br label %go.on
go.on:
  call void @relax(i64 %turn.next)
  %tired = icmp uge i64 %turn.next, ${spins}
  br i1 %tired, label %rest, label %spin
rest:
  call i32 @pthread_mutex_lock(ptr %mutex.at)
  ${keep_off}
  %more = atomicrmw add ptr %sleepers.at, i64 1 seq_cst
  br label %sleep
sleep: ; who launches after this look finds a sleeper, and waits for the mutex before it wakes
  %seen = load atomic i64, ptr %gate.at seq_cst, align 8
  %seen.tickets = and i64 %seen, 4294901760
  %ending = load atomic i64, ptr %stop.at seq_cst, align 8
  %reason = or i64 %seen.tickets, %ending
  %idle = icmp eq i64 %reason, 0
  br i1 %idle, label %doze, label %rise
doze:
  call i32 @pthread_cond_wait(ptr %condition.at, ptr %mutex.at)
  br label %sleep
rise:
  %fewer = atomicrmw sub ptr %sleepers.at, i64 1 seq_cst
  ${awake}
  call i32 @pthread_mutex_unlock(ptr %mutex.at)
  br i1 %off, label %return, label %spin
return:
  ${return}
  br label %spin
leave:
  ret ptr null
}
${cores}
define internal void @relax(i64 %turn) noinline #0 {
entry:
  ${pause}
  %part = and i64 %turn, 63
  %long = icmp eq i64 %part, 0
  br i1 %long, label %offer, label %end
offer:
  call i32 @sched_yield()
  br label %end
end:
  ret void
}
${declare}
declare i32 @sched_yield()
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
attributes #0 = { nounwind }
"""

#: Linux may wake a thread on the core of the one that wakes it, where it waits for the caller's time slice to end,
#: several milliseconds. So a thread keeps off the core of the last caller while it sleeps; a caller that has come to
#: another core moves the sleepers; and who meets the caller while awake leaves for a moment. The masks and the list of
#: sleepers are guarded by the mutex.
_CORES = """
define internal void @note_core(ptr %team) #0 {
entry:
  ${core}
  %here = call i32 @sched_getcpu()
  store atomic i32 %here, ptr %core.at monotonic, align 4
  ret void
}
define internal void @without(ptr %others, ptr %allowed, i32 %core) #0 {
entry:
  call void @llvm.memcpy.p0.p0.i64(ptr %others, ptr %allowed, i64 128, i1 false)
  %known = icmp ult i32 %core, 1024
  br i1 %known, label %clear, label %end
clear:
  %byte = lshr i32 %core, 3
  %at = getelementptr i8, ptr %others, i32 %byte
  %bits = load i8, ptr %at
  %place = and i32 %core, 7
  %bit = shl i32 1, %place
  %bit.8 = trunc i32 %bit to i8
  %keep = xor i8 %bit.8, -1
  %rest = and i8 %bits, %keep
  store i8 %rest, ptr %at
  br label %end
end:
  ret void
}
define internal i1 @keep_off(ptr %team, i64 %number, ptr %own) noinline #0 {
entry:
  ${core}
  ${excluded}
  ${allowed}
  ${others}
  ${asleep}
  %movable = icmp ult i64 %number, ${movable}
  br i1 %movable, label %ask, label %no
ask:
  %failed = call i32 @sched_getaffinity(i32 0, i64 128, ptr %own)
  %fine = icmp eq i32 %failed, 0
  br i1 %fine, label %move, label %no
move:
  %callers = load atomic i32, ptr %core.at monotonic, align 4
  call void @llvm.memcpy.p0.p0.i64(ptr %allowed.at, ptr %own, i64 128, i1 false)
  call void @without(ptr %others.at, ptr %own, i32 %callers)
  store i32 %callers, ptr %excluded.at
  %refused = call i32 @sched_setaffinity(i32 0, i64 128, ptr %others.at)
  %off = icmp eq i32 %refused, 0
  br i1 %off, label %list, label %no
list:
  %place = getelementptr i32, ptr %asleep.at, i64 %number
  %self = call i32 @gettid()
  store i32 %self, ptr %place
  ret i1 true
no:
  ret i1 false
}
define internal void @awake(ptr %team, i64 %number) #0 {
entry:
  ${asleep}
  %place = getelementptr i32, ptr %asleep.at, i64 %number
  store i32 0, ptr %place
  ret void
}
define internal void @turn(ptr %team) noinline #0 {
entry:
  ${core}
  ${excluded}
  ${allowed}
  ${others}
  ${asleep}
  ${started}
  %here = load atomic i32, ptr %core.at monotonic, align 4
  %before = load i32, ptr %excluded.at
  %same = icmp eq i32 %here, %before
  br i1 %same, label %end, label %move
move:
  store i32 %here, ptr %excluded.at
  call void @without(ptr %others.at, ptr %allowed.at, i32 %here)
  %threads = load atomic i64, ptr %started.at monotonic, align 8
  %few = icmp ult i64 %threads, ${last}
  %count = select i1 %few, i64 %threads, i64 ${last}
  br label %next
next:
  %k = phi i64 [ 1, %move ], [ %k.next, %after ]
  %more = icmp ule i64 %k, %count
  br i1 %more, label %look, label %end
look:
  %place = getelementptr i32, ptr %asleep.at, i64 %k
  %thread = load i32, ptr %place
  %sleeps = icmp ne i32 %thread, 0
  br i1 %sleeps, label %tell, label %after
tell:
  call i32 @sched_setaffinity(i32 %thread, i64 128, ptr %others.at)
  br label %after
after:
  %k.next = add i64 %k, 1
  br label %next
end:
  ret void
}
define internal void @part(ptr %team, ptr %own, ptr %away) noinline #0 {
entry:
  ${core}
  %here = call i32 @sched_getcpu()
  %callers = load atomic i32, ptr %core.at monotonic, align 4
  %same = icmp eq i32 %here, %callers
  br i1 %same, label %ask, label %end
ask:
  %failed = call i32 @sched_getaffinity(i32 0, i64 128, ptr %own)
  %fine = icmp eq i32 %failed, 0
  br i1 %fine, label %leave, label %end
leave:
  call void @without(ptr %away, ptr %own, i32 %callers)
  %refused = call i32 @sched_setaffinity(i32 0, i64 128, ptr %away)
  %gone = icmp eq i32 %refused, 0
  br i1 %gone, label %back, label %end
back:
  call i32 @sched_setaffinity(i32 0, i64 128, ptr %own)
  br label %end
end:
  ret void
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i32 @gettid()
declare i32 @sched_getcpu()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)
"""

#: What Linux adds to the functions above, by place.
_ON_LINUX = {
    "note": "call void @note_core(ptr %team)",
    "turn": "call void @turn(ptr %team)",
    "masks": "%own = alloca [128 x i8], align 8\n  %away = alloca [128 x i8], align 8",
    "part": "call void @part(ptr %team, ptr %own, ptr %away)",
    "keep_off": "%off = call i1 @keep_off(ptr %team, i64 %number, ptr %own)",
    "awake": "call void @awake(ptr %team, i64 %number)",
    "return": "call i32 @sched_setaffinity(i32 0, i64 128, ptr %own)",
}


def source(architecture: str, linux: bool = sys.platform == "linux") -> str:
    """Return the LLVM IR of a team's functions."""
    pause, declare = _PAUSE.get(architecture, ("", ""))
    places = {name: f"%{name}.at = getelementptr i8, ptr %team, i64 {at}" for name, at in _PLACES.items()}
    cores = dict.fromkeys(["cores", *_ON_LINUX], "") | {"keep_off": "%off = add i1 false, false"}
    if linux:
        functions = Template(_CORES).substitute(places, movable=_MOVABLE, last=_MOVABLE - 1)
        cores = _ON_LINUX | {"cores": functions}
    return Template(_SOURCE).substitute(places | cores, spins=_SPINS, pause=pause, declare=declare)


class Team:
    """Threads that wait for launches.

    Parameters
    ----------
    setup : Callable
        Returns the address of the function `SYMBOL`; called where there are POSIX threads.

    Raises
    ------
    OSError
        If this C library has no POSIX threads.
    """

    def __init__(self, setup: Callable[[], int]) -> None:
        try:
            self._library = ctypes.CDLL(None)
            self._create, self._join = self._library.pthread_create, self._library.pthread_join
        except (AttributeError, TypeError) as error:
            raise OSError(f"this system's C library has no POSIX threads: {error}") from None
        self._memory = ctypes.create_string_buffer(_SIZE + 64)
        self.address = -(-ctypes.addressof(self._memory) // 64) * 64
        self._worker = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(setup())(self.address)
        self._threads: list[ctypes.c_void_p] = []
        self._owner = os.getpid()
        atexit.register(self.stop)

    @property
    def workers(self) -> int:
        """Number of threads besides the caller."""
        return len(self._threads)

    def grow(self, workers: int) -> None:
        """Start threads until there are so many; fewer if the system refuses.

        They take no signals: those are for the interpreter's threads.
        """
        with _blocked_signals():
            while len(self._threads) < workers:
                handle = ctypes.c_void_p()
                if self._create(
                    ctypes.byref(handle), None, ctypes.c_void_p(self._worker), ctypes.c_void_p(self.address)
                ):
                    return
                self._threads.append(handle)

    def stop(self) -> None:
        """End all threads: the interpreter unloads their code after this. Launches go on, on the caller alone."""
        if os.getpid() != self._owner:
            return  # a child made by fork has none of them
        ctypes.c_int64.from_address(self.address + _PLACES["stop"]).value = 1
        mutex, condition = (ctypes.c_void_p(self.address + at) for at in (_PLACES["mutex"], _PLACES["condition"]))
        self._library.pthread_mutex_lock(mutex)
        self._library.pthread_cond_broadcast(condition)
        self._library.pthread_mutex_unlock(mutex)
        for handle in self._threads:
            self._join(handle, None)
        self._threads.clear()


@contextmanager
def _blocked_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
