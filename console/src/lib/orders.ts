// What a person can order a run to do, and what will happen then. The service decides whether a run accepts an order.
import { isOpen } from './states';
import type { Run } from './types';

export type OrderName = 'pause' | 'resume' | 'cancel' | 'retry-failed' | 'rollback';
export type Order = { name: OrderName; label: string; sentence: string; isDangerous: boolean };

const count = (number: number, one: string, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** In the order in which they are shown. */
export function ordersOf(run: Run): Order[] {
  const { hosts } = run;
  const orders: Order[] = [];
  const working = count(hosts.working, 'host');
  if (isOpen(run.state)) {
    if (run.state === 'paused') {
      const sentence = `Work continues: ${count(hosts.pending, 'host')} ${hosts.pending === 1 ? 'waits' : 'wait'} for their turn.`;
      orders.push({ name: 'resume', label: 'Resume', sentence, isDangerous: false });
    } else {
      const sentence = `No further host starts. ${working} at work ${hosts.working === 1 ? 'finishes' : 'finish'} first.`;
      orders.push({ name: 'pause', label: 'Pause', sentence, isDangerous: false });
    }
    const kept = hosts.succeeded > 0 ? ` ${count(hosts.succeeded, 'patched host')} ${hosts.succeeded === 1 ? 'stays' : 'stay'} patched.` : '';
    const sentence = `The run ends. ${count(hosts.pending, 'host')} ${hosts.pending === 1 ? 'is' : 'are'} not touched; ${working} at work ${hosts.working === 1 ? 'is' : 'are'} brought to a safe state.${kept}`;
    orders.push({ name: 'cancel', label: 'Cancel', sentence, isDangerous: true });
    return orders;
  }
  if (run.dry_run) return orders;
  if (hosts.failed > 0) {
    const sentence = `A new run starts for the ${count(hosts.failed, 'host')} that failed. It needs its own approval.`;
    orders.push({ name: 'retry-failed', label: 'Retry failed', sentence, isDangerous: false });
  }
  if (hosts.succeeded > 0 && run.state !== 'rolled_back' && run.trigger !== 'rollback') {
    const sentence = `A new run returns the ${count(hosts.succeeded, 'patched host')} to before this run, by snapshot or downgrade. It needs its own approval.`;
    orders.push({ name: 'rollback', label: 'Roll back', sentence, isDangerous: true });
  }
  return orders;
}

export function skipSentence(host: string): string {
  return `${host} is left as it is in this run; the run continues with the others.`;
}
