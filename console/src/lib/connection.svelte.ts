// Whether the server is reached. A lost connection is tried again until it is back; then every view reads again.

const TRY_AGAIN_MS = 2000;

class Connection {
  isLost = $state(false);
  /** Changes when everything should be read again. */
  generation = $state(0);
  #timer: ReturnType<typeof setTimeout> | undefined;

  note(reached: boolean) {
    if (reached && this.isLost) {
      this.isLost = false;
      this.refresh();
    }
    if (!reached && !this.isLost) {
      this.isLost = true;
      this.#tryAgain();
    }
  }

  refresh() {
    this.generation += 1;
  }

  #tryAgain() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const reached = await fetch('/healthz').then(
        (response) => response.ok,
        () => false,
      );
      if (reached) this.note(true);
      else this.#tryAgain();
    }, TRY_AGAIN_MS);
  }
}

export const connection = new Connection();
