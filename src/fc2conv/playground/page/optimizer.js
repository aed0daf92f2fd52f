// How weights learn from their gradients, as torch.optim does it.

/** The layers' weights and biases, each with its gradient. */
const parametersOf = (network) =>
  network.layers.flatMap((layer) =>
    ["weight", "bias"]
      .filter((part) => layer[part])
      .map((part) => ({ values: layer[part], gradient: layer[`${part}Gradient`] })),
  );

/** Gradient descent with momentum. */
export class SGD {
  constructor(network, { lr = 0.1, momentum = 0, weightDecay = 0 } = {}) {
    Object.assign(this, { lr, momentum, weightDecay });
    this.parameters = parametersOf(network).map((each) => ({
      ...each,
      velocity: new Float32Array(each.values.length),
    }));
  }

  /** @param {number} n images whose gradients were added up */
  step(n = 1) {
    const { lr, momentum, weightDecay } = this;
    for (const { values, gradient, velocity } of this.parameters) {
      for (let i = 0; i < values.length; i++) {
        velocity[i] = momentum * velocity[i] + gradient[i] / n + weightDecay * values[i];
        values[i] -= lr * velocity[i];
      }
    }
  }
}

/** Adam with decoupled weight decay (Loshchilov & Hutter 2019). */
export class AdamW {
  constructor(network, { lr = 0.001, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = {}) {
    Object.assign(this, { lr, betas, eps, weightDecay, steps: 0 });
    this.parameters = parametersOf(network).map((each) => ({
      ...each,
      mean: new Float32Array(each.values.length),
      square: new Float32Array(each.values.length),
    }));
  }

  /** @param {number} n images whose gradients were added up */
  step(n = 1) {
    const { lr, eps, weightDecay } = this;
    const [first, second] = this.betas;
    this.steps += 1;
    // at the beginning both averages are too small: they start at 0
    const rate = lr / (1 - first ** this.steps);
    const correction = 1 / (1 - second ** this.steps);
    for (const { values, gradient, mean, square } of this.parameters) {
      for (let i = 0; i < values.length; i++) {
        const g = gradient[i] / n;
        const m = first * mean[i] + (1 - first) * g;
        const s = second * square[i] + (1 - second) * g * g;
        mean[i] = m;
        square[i] = s;
        values[i] = values[i] * (1 - lr * weightDecay) - (rate * m) / (Math.sqrt(s * correction) + eps);
      }
    }
  }
}
