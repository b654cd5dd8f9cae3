"""A ban on every socket by the kernel itself: a process that makes one is killed by SIGSYS. For tests.

No library can get round it, whatever language it is written in: it holds for threads and children too.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
LOAD_WORD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
NUMBER_AT, ARCHITECTURE_AT = 0, 4  # struct seccomp_data
X32_BIT = 0x40000000

# audit architecture and numbers of: socket, socketpair, connect, bind, listen, accept, accept4, sendto, sendmsg,
# sendmmsg, recvfrom, io_uring_setup (asm/unistd_64.h, asm-generic/unistd.h)
BANNED = {
    "x86_64": (0xC000003E, (41, 53, 42, 49, 50, 43, 288, 44, 46, 307, 45, 425)),
    "aarch64": (0xC00000B7, (198, 199, 203, 200, 201, 202, 242, 206, 211, 269, 207, 425)),
}


def supported() -> bool:
    """Whether the ban is written for this machine."""
    return sys.platform.startswith("linux") and platform.machine() in BANNED


def ban_sockets() -> None:
    """From now on, in this process and its children, a system call about a socket ends the process."""
    architecture, numbers = BANNED[platform.machine()]
    kill = (RETURN, 0, 0, KILL_PROCESS)
    steps = [(LOAD_WORD, 0, 0, ARCHITECTURE_AT), (JUMP_IF_EQUAL, 1, 0, architecture), kill]
    steps += [(LOAD_WORD, 0, 0, NUMBER_AT), (JUMP_IF_AT_LEAST, 0, 1, X32_BIT), kill]
    for number in numbers:
        steps += [(JUMP_IF_EQUAL, 0, 1, number), kill]
    steps.append((RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)):
        if libc.prctl(*words):
            raise OSError(ctypes.get_errno(), "the kernel does not take the ban")
