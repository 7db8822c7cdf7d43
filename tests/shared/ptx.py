"""What PTX holds, and what ptxas makes of it."""

import re
from types import SimpleNamespace

from cuda.bindings import nvjitlink

PROCESSORS = [(8, 0), (9, 0), (10, 0), (12, 0)]


def resources(ptx, processor, *options):
    """Return what ptxas says of a kernel: registers and bytes of stack and spills, of it and of what it calls."""
    options = [f"-arch=sm_{''.join(map(str, processor))}", "-Xptxas=-v", *options]
    code = ptx.encode()
    linker = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, code, len(code), "kernel")
        nvjitlink.complete(linker)
        log = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, log)
    finally:
        nvjitlink.destroy(linker)
    text = log.decode()
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", text)]
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text)
    assert len(registers) == 1
    assert frames
    stack, stores, loads = (sum(int(n) for n in column) for column in zip(*frames, strict=True))
    return SimpleNamespace(registers=registers[0], stack=stack, spilled=stores + loads)


def float64s(ptx):
    return re.findall(r"^.*\.f64.*$", ptx, re.M)


def atomics(ptx):
    return re.findall(r"^\s*(?:@\S+\s+)?(?:atom|red)\..*$", ptx, re.M)
