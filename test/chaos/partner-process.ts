// The partner as a process of its own, to be killed with the runtime: it sends until then, and what
// it knows stands in its journal. `node partner-process.ts JOURNAL URL SEED CONNECTIONS`
import { createPartner } from './partner.ts'
import { createRandom } from './random.ts'

const [, , journal = '', url = '', seed = '', connections = ''] = process.argv
const partner = createPartner({ random: createRandom(Number(seed)), giveUpShare: 0, journal })
partner.startLoad(url, Number(connections))
// Its parent may itself be killed: then the channel closes, and it leaves.
process.on('disconnect', () => process.exit(0))
