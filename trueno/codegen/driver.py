"""The part that all CPU kernels share: a stage's tasks run here, or spread over threads.

It is compiled once and linked to every kernel under the name `SYMBOL`, the only name of Trueno's that objects refer to.
"""

from __future__ import annotations

SYMBOL = "trueno_run"

SOURCE = """
define internal void @share(ptr %context, i64 %number) #0 {
entry:
  %stage.p = getelementptr i64, ptr %context, i64 0
  %stage = load ptr, ptr %stage.p
  %buffers.p = getelementptr i64, ptr %context, i64 1
  %buffers = load ptr, ptr %buffers.p
  %meta.p = getelementptr i64, ptr %context, i64 2
  %meta = load ptr, ptr %meta.p
  %scalars.p = getelementptr i64, ptr %context, i64 3
  %scalars = load ptr, ptr %scalars.p
  %shares.p = getelementptr i64, ptr %context, i64 4
  %shares = load i64, ptr %shares.p
  %taken.p = getelementptr i64, ptr %context, i64 5
  %taken = load ptr, ptr %taken.p
  %workers.p = getelementptr i64, ptr %context, i64 6
  %workers = load i64, ptr %workers.p
  %tasks = load i64, ptr %meta
  %own.n = mul i64 %number, %shares
  %own = udiv i64 %own.n, %workers
  br label %next
next: ; each thread begins with the shares of its own number, whose memory its cache holds from the call before
  %done = phi i64 [ 0, %entry ], [ %more, %after ]
  %all = icmp uge i64 %done, %shares
  br i1 %all, label %end, label %try
try:
  %candidate = add i64 %own, %done
  %index = urem i64 %candidate, %shares
  %flag = getelementptr i8, ptr %taken, i64 %index
  %before = atomicrmw xchg ptr %flag, i8 1 monotonic
  %free = icmp eq i8 %before, 0
  br i1 %free, label %work, label %after
work:
  %low.n = mul i64 %index, %tasks
  %low = udiv i64 %low.n, %shares
  %following = add i64 %index, 1
  %high.n = mul i64 %following, %tasks
  %high = udiv i64 %high.n, %shares
  call void %stage(ptr %buffers, ptr %meta, ptr %scalars, i64 %low, i64 %high)
  br label %after
after: ; a team may run fewer bodies than asked for: shares that nobody has taken are done as well
  %more = add i64 %done, 1
  br label %next
end:
  ret void
}
define void @trueno_run(ptr %stage, ptr %buffers, ptr %meta, ptr %scalars, i64 %threads, ptr %team) #0 {
entry:
  %context = alloca [7 x i64], align 16
  %tasks = load i64, ptr %meta
  %flag.p = getelementptr i64, ptr %meta, i64 1
  %flag = load i64, ptr %flag.p
  %large = icmp ne i64 %flag, 0
  %many = icmp sgt i64 %threads, 1
  %split = and i1 %large, %many
  br i1 %split, label %shared, label %alone
shared:
  %wanted = mul i64 %threads, %flag
  %fewer = icmp slt i64 %wanted, %tasks
  %count = select i1 %fewer, i64 %wanted, i64 %tasks
  %less = icmp slt i64 %threads, %count
  %workers = select i1 %less, i64 %threads, i64 %count
  %taken = alloca i8, i64 %count
  call void @llvm.memset.p0.i64(ptr %taken, i8 0, i64 %count, i1 false)
  %c1 = getelementptr i64, ptr %context, i64 0
  store ptr %stage, ptr %c1
  %c2 = getelementptr i64, ptr %context, i64 1
  store ptr %buffers, ptr %c2
  %c3 = getelementptr i64, ptr %context, i64 2
  store ptr %meta, ptr %c3
  %c4 = getelementptr i64, ptr %context, i64 3
  store ptr %scalars, ptr %c4
  %c5 = getelementptr i64, ptr %context, i64 4
  store i64 %count, ptr %c5
  %c6 = getelementptr i64, ptr %context, i64 5
  store ptr %taken, ptr %c6
  %c7 = getelementptr i64, ptr %context, i64 6
  store i64 %workers, ptr %c7
  %launch = load ptr, ptr %team
  call void %launch(ptr %team, ptr @share, ptr %context, i64 %workers)
  ret void
alone:
  call void %stage(ptr %buffers, ptr %meta, ptr %scalars, i64 0, i64 %tasks)
  ret void
}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
attributes #0 = { nounwind }
"""
