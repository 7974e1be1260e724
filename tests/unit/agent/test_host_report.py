"""`/v1/agent/host` on this machine: the names of a real agent's answer, values that fit together."""

import os

from consulpy.agent.host_report import host_report

#: Seen in the answer of a real agent.
MEMORY = """active available buffers cached commitlimit committedas dirty free highfree hightotal hugepagesfree
hugepagesize hugepagestotal inactive laundry lowfree lowtotal mapped pagetables shared slab
sreclaimable sunreclaim swapcached swapfree swaptotal total used usedPercent vmallocchunk
vmalloctotal vmallocused wired writeback writebacktmp"""
PROCESSOR = "cacheSize coreId cores cpu family flags mhz microcode model modelName physicalId stepping vendorId"
HOST = """bootTime hostid hostname kernelArch kernelVersion os platform platformFamily platformVersion procs uptime
virtualizationRole virtualizationSystem"""
DISK = "free fstype inodesFree inodesTotal inodesUsed inodesUsedPercent path total used usedPercent"


def test_it_has_the_names_of_consul() -> None:
    found = host_report()
    assert found["Errors"] is None
    assert sorted(found) == ["CPU", "CollectionTime", "Disk", "Errors", "Host", "Memory"]
    assert sorted(found["Memory"]) == MEMORY.split()
    assert sorted(found["Host"]) == HOST.split()
    assert sorted(found["Disk"]) == DISK.split()
    assert len(found["CPU"]) == os.cpu_count()
    assert all(sorted(each) == PROCESSOR.split() for each in found["CPU"])


def test_its_values_fit_together() -> None:
    found = host_report()
    memory, disk, host = found["Memory"], found["Disk"], found["Host"]
    assert 0 < memory["used"] < memory["total"] > memory["available"] > 0
    assert 0 < memory["usedPercent"] < 100
    assert disk["inodesUsed"] + disk["inodesFree"] == disk["inodesTotal"]
    assert 0 < disk["used"] < disk["total"]
    assert host["hostname"] == os.uname().nodename
    assert host["bootTime"] + host["uptime"] <= found["CollectionTime"] / 1e9 + 2
