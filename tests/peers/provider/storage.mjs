// Where the provider keeps its sessions, grants and tokens: in memory, shared by successive provider objects, so that a key rotation
// (which needs a new object) loses nothing. Implements oidc-provider's adapter interface.

export class Storage {
  #records = new Map(); // "Model:id" -> { payload, expiresAt }

  /** The factory that oidc-provider asks for: one adapter per model. */
  adapter = (model) => ({
    upsert: async (id, payload, expiresIn) => {
      const expiresAt = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000;
      this.#records.set(`${model}:${id}`, { payload, expiresAt });
    },
    find: async (id) => this.#find(`${model}:${id}`),
    findByUid: async (uid) => this.#firstWhere(model, (payload) => payload.uid === uid),
    findByUserCode: async (userCode) => this.#firstWhere(model, (payload) => payload.userCode === userCode),
    consume: async (id) => {
      const payload = this.#find(`${model}:${id}`);
      if (payload) payload.consumed = Math.floor(Date.now() / 1000);
    },
    destroy: async (id) => {
      this.#records.delete(`${model}:${id}`);
    },
    revokeByGrantId: async (grantId) => this.#deleteWhere((payload) => payload.grantId === grantId),
  });

  /** Forgets every session, grant and token of one account; returns how many records that were. */
  revokeAccount(accountId) {
    return this.#deleteWhere((payload) => payload.accountId === accountId);
  }

  #find(key) {
    const record = this.#records.get(key);
    if (record === undefined) return undefined;
    if (record.expiresAt > Date.now()) return record.payload;
    this.#records.delete(key);
    return undefined;
  }

  #firstWhere(model, matches) {
    for (const [key, { payload }] of this.#records) {
      if (key.startsWith(`${model}:`) && matches(payload)) return this.#find(key);
    }
    return undefined;
  }

  #deleteWhere(matches) {
    let deleted = 0;
    for (const [key, { payload }] of this.#records) {
      if (matches(payload) && this.#records.delete(key)) deleted += 1;
    }
    return deleted;
  }
}
