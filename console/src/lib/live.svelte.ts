// The events of a run as they happen. The browser connects again by itself and continues after the last event it got.
import type { CloudEvent } from './types';

export type LiveState = 'connecting' | 'live' | 'lost' | 'ended';

const TYPES = [
  'patch.run.state_changed.v1',
  'patch.host.state_changed.v1',
  'patch.host.step_changed.v1',
  'patch.run.log.v1',
];

export class Live {
  state = $state<LiveState>('connecting');
  #source: EventSource | undefined;

  /** Events from before `since` are not passed on: the view has read their result. */
  open(path: string, since: number, onEvent: (event: CloudEvent) => void) {
    this.close();
    this.state = 'connecting';
    const source = new EventSource(path);
    this.#source = source;
    source.onopen = () => (this.state = 'live');
    source.onerror = () => (this.state = 'lost');
    const take = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as CloudEvent;
      if (Date.parse(event.time) >= since) onEvent(event);
    };
    for (const type of TYPES) source.addEventListener(type, take);
  }

  close() {
    this.#source?.close();
    this.#source = undefined;
    this.state = 'ended';
  }
}
