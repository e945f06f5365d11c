// How long the event loop is held up while many large uploads come in at the same time.

import { wholeUploads } from '../loads.js'
import { inTurns, median, underLoad } from '../measure.js'
import type { LoopDelay } from '../server-process.js'
import { BARE_EXPRESS, OURS_EXPRESS, TUS_SERVER, UPLOADX } from '../servers.js'
import { chosen } from './comparison.js'
import { type Row, type Scenario, skip } from './scenario.js'

const UPLOADS = 200
const MIB_EACH = 16

/** 200 large uploads at the same time on a disk; this package with its default, which syncs each of them. */
export const loopDelay: Scenario = {
  name: 'loop-delay',
  title: `Event-loop delay with ${UPLOADS} concurrent uploads of ${MIB_EACH} MiB on a disk`,
  run: async (settings) => {
    const { diskFolder } = settings
    if (diskFolder === undefined) return skip('there is no folder on a real file system; name one by BENCH_DISK')
    const connections = Math.ceil(UPLOADS / settings.shrink)
    const load = wholeUploads({ connections, mib: MIB_EACH, steps: connections })
    const servers = chosen([OURS_EXPRESS, TUS_SERVER, UPLOADX, BARE_EXPRESS], settings)
    const samples = await inTurns(servers, settings, (server) =>
      underLoad(server, load, settings, { parent: diskFolder }, async ({ running, work }) => {
        await running.watchLoop()
        const from = performance.now()
        const mib = await work()
        const perSecond = mib / ((performance.now() - from) / 1000)
        return { ...(await running.loopDelay()), perSecond }
      }),
    )
    const rows: Row[] = []
    for (const [{ name }, taken] of samples) {
      const middle = (key: keyof LoopDelay | 'perSecond'): number => median(taken.map((sample) => sample[key]))
      rows.push({
        label: name,
        values: { p50: middle('p50'), p99: middle('p99'), max: middle('max'), perSecond: middle('perSecond') },
      })
    }
    return {
      subject: 'server',
      columns: [
        { key: 'p50', title: 'p50 ms' },
        { key: 'p99', title: 'p99 ms' },
        { key: 'max', title: 'max ms' },
        { key: 'perSecond', title: 'MiB/s' },
      ],
      rows,
      notes: ['Delays include the 1 ms of the timer that measures them.'],
    }
  },
}
