"""The part that all CPU kernels share: a stage's tasks run here, or spread over threads.

It is compiled once and linked to every kernel under the name `SYMBOL`, the only name of Trueno's that objects refer to.
"""

from __future__ import annotations

SYMBOL = "trueno_run"

SOURCE = """
define internal void @share(ptr %context) #0 {
entry:
  %stage.p = getelementptr i64, ptr %context, i64 1
  %stage = load ptr, ptr %stage.p
  %buffers.p = getelementptr i64, ptr %context, i64 2
  %buffers = load ptr, ptr %buffers.p
  %meta.p = getelementptr i64, ptr %context, i64 3
  %meta = load ptr, ptr %meta.p
  %scalars.p = getelementptr i64, ptr %context, i64 4
  %scalars = load ptr, ptr %scalars.p
  %threads.p = getelementptr i64, ptr %context, i64 5
  %threads = load i64, ptr %threads.p
  %tasks = load i64, ptr %meta
  br label %take
take: ; a runtime may start fewer bodies than asked for: each takes shares until none is left
  %counter = atomicrmw add ptr %context, i64 1 monotonic
  %left = icmp slt i64 %counter, %threads
  br i1 %left, label %work, label %done
work:
  %low.n = mul i64 %counter, %tasks
  %low = udiv i64 %low.n, %threads
  %next = add i64 %counter, 1
  %high.n = mul i64 %next, %tasks
  %high = udiv i64 %high.n, %threads
  call void %stage(ptr %buffers, ptr %meta, ptr %scalars, i64 %low, i64 %high)
  br label %take
done:
  ret void
}
define void @trueno_run(ptr %stage, ptr %buffers, ptr %meta, ptr %scalars, i64 %threads, ptr %parallel) #0 {
entry:
  %context = alloca [6 x i64], align 16
  %tasks = load i64, ptr %meta
  %flag.p = getelementptr i64, ptr %meta, i64 1
  %flag = load i64, ptr %flag.p
  %large = icmp ne i64 %flag, 0
  %many = icmp sgt i64 %threads, 1
  %split = and i1 %large, %many
  br i1 %split, label %shared, label %alone
shared:
  store i64 0, ptr %context
  %c1 = getelementptr i64, ptr %context, i64 1
  store ptr %stage, ptr %c1
  %c2 = getelementptr i64, ptr %context, i64 2
  store ptr %buffers, ptr %c2
  %c3 = getelementptr i64, ptr %context, i64 3
  store ptr %meta, ptr %c3
  %c4 = getelementptr i64, ptr %context, i64 4
  store ptr %scalars, ptr %c4
  %c5 = getelementptr i64, ptr %context, i64 5
  store i64 %threads, ptr %c5
  %n = trunc i64 %threads to i32
  call void %parallel(ptr @share, ptr %context, i32 %n, i32 0)
  ret void
alone:
  call void %stage(ptr %buffers, ptr %meta, ptr %scalars, i64 0, i64 %tasks)
  ret void
}
attributes #0 = { nounwind }
"""
