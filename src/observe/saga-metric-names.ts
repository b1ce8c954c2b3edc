/** Metrics of sagas; METRICS joins them with the others. */
export const SAGA_METRICS = {
  sagaRuns: {
    name: 'junctura_saga_runs',
    type: 'gauge',
    help: 'Runs of sagas that have not ended, on the whole store.',
    unit: '',
    /** `state` is unstarted, running, paused, compensating or compensation-stuck. */
    labels: ['saga', 'owner', 'state'],
  },
  sagasStarted: {
    name: 'junctura_sagas_started',
    type: 'counter',
    help: 'Runs of sagas that were started.',
    unit: '',
    labels: ['saga', 'owner'],
  },
  sagasEnded: {
    name: 'junctura_sagas_ended',
    type: 'counter',
    help: 'Runs of sagas that ended.',
    unit: '',
    /** `outcome` is completed, compensated, resolved or terminated. */
    labels: ['saga', 'owner', 'outcome'],
  },
  sagasStuck: {
    name: 'junctura_sagas_stuck',
    type: 'counter',
    help: 'Runs of sagas that stopped moving and need somebody.',
    unit: '',
    /** `reason` is the kind of its problem, quiet, or compensation-stuck. */
    labels: ['saga', 'owner', 'reason'],
  },
  sagaStepDuration: {
    name: 'junctura_saga_step_duration_seconds',
    type: 'histogram',
    help: 'From the begin of a step of a saga to its end, waits and retries included.',
    unit: 'seconds',
    /** `step` is the contract of the step, or its kind; `owner` answers for the step. */
    labels: ['saga', 'step', 'owner'],
  },
  sagaCompensations: {
    name: 'junctura_saga_compensations',
    type: 'counter',
    help: 'Steps of sagas that were taken back, or could not be.',
    unit: '',
    /** `step` is what takes back, its contract or kind; `outcome` is done, skipped or failed. */
    labels: ['saga', 'step', 'outcome'],
  },
} as const
