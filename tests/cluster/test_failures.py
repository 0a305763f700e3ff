import asyncio,time
from tests.cluster.scene import Scene

async def watch(scene, seconds, names="abc"):
    began=time.monotonic(); last=None
    while time.monotonic()<began+seconds:
        now={n: await asyncio.to_thread(scene.reasons,n) for n in names}
        if now!=last: print(f"{time.monotonic()-began:5.1f}", now); last=now
        await asyncio.sleep(0.2)
    print({n:dict(c) for n,c in scene.live.answers.items()}); 
    for c in scene.live.answers.values(): c.clear()
    print(scene.fleet.tell())

async def test_kill(scene: Scene):
    t0=time.monotonic()
    scene.cluster.kill("c")
    await watch(scene, 6)
    await asyncio.to_thread(scene.cluster.start, "c")
    print("resumed", await scene.repaired(20))
    await scene.fleet.goes_on()
    await scene.finish()

async def test_isolate(scene: Scene):
    t0=time.monotonic()
    scene.network.isolate("c")
    await watch(scene, 10)
    scene.network.repair()
    print("resumed", await scene.repaired(20))
    await watch(scene, 3)
    await scene.fleet.goes_on()
    await scene.finish()

async def test_partition(scene: Scene):
    t0=time.monotonic()
    scene.network.isolate("c", ["a","b"])
    await watch(scene, 15)
    scene.network.repair()
    print("resumed", await scene.repaired(20))
    await watch(scene, 3)
    await scene.fleet.goes_on()
    await scene.finish()
