"""JAX calls that break a rule of pooling."""

from properties.bad_calls import BadCall

CALLS = (
    BadCall(
        id="window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements, without padding",
        code='lax.reduce_window(jnp.zeros((2, 2)), -jnp.inf, lax.max, (3, 3), (1, 1), "VALID")',
    ),
    BadCall(
        id="sum-window-larger-than-input",
        violates="a window of 4 over 3 elements, without padding",
        code='lax.reduce_window(jnp.zeros(3), 0.0, lax.add, (4,), (1,), "VALID")',
    ),
    BadCall(
        id="dilated-window-larger-than-input",
        violates="a window of 2 with dilation 4 over 4 elements",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (1,), "VALID", window_dilation=(4,))',
    ),
    BadCall(
        id="absurd-window",
        violates="a window of 2^62 over 4 elements",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2**62,), (1,), "VALID")',
    ),
    BadCall(
        id="absurd-window-same",
        violates="a window of 2^62 with SAME padding, which no memory holds",
        must="survive",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2**62,), (1,), "SAME")',
    ),
    BadCall(
        id="window-of-2-to-64",
        violates="a window of 2^64 over 4 elements",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2**64,), (1,), "VALID")',
    ),
    BadCall(
        id="window-0",
        violates="a window of 0",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (0,), (1,), "VALID")',
    ),
    BadCall(
        id="window-negative",
        violates="a window of −2",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (-2,), (1,), "VALID")',
    ),
    BadCall(
        id="stride-0",
        violates="a stride of 0",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (0,), "VALID")',
    ),
    BadCall(
        id="stride-0-same",
        violates="a stride of 0",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (0,), "SAME")',
    ),
    BadCall(
        id="stride-negative",
        violates="a stride of −1",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (-1,), "VALID")',
    ),
    BadCall(
        id="dilation-0",
        violates="a dilation of 0",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (1,), "VALID", window_dilation=(0,))',
    ),
    BadCall(
        id="dilation-negative",
        violates="a dilation of −1",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (1,), "VALID", window_dilation=(-1,))',
    ),
    BadCall(
        id="base-dilation-0",
        violates="a dilation of the input of 0",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (1,), "VALID", base_dilation=(0,))',
    ),
    BadCall(
        id="straddling-window",
        violates="a window of 2 with dilation 3 and a padding of 1, which reads padding on either side of 2 elements and none of them",
        code="lax.reduce_window(jnp.zeros(2), -jnp.inf, lax.max, (2,), (1,), [(1, 1)], window_dilation=(3,))",
    ),
    BadCall(
        id="short-padding",
        violates="padding for one axis of two",
        code="lax.reduce_window(jnp.zeros((4, 4)), -jnp.inf, lax.max, (2, 2), (1, 1), [(0, 0)])",
    ),
    BadCall(
        id="rank-mismatch",
        violates="a window of 3 axes for an input of 2",
        code='lax.reduce_window(jnp.zeros((4, 4)), -jnp.inf, lax.max, (2, 2, 2), (1, 1, 1), "VALID")',
    ),
    BadCall(
        id="unknown-padding",
        violates="a padding that is none",
        code='lax.reduce_window(jnp.zeros(4), -jnp.inf, lax.max, (2,), (1,), "FULL")',
    ),
    BadCall(
        id="other-dtype",
        violates="an initial value of another dtype than the input",
        code='lax.reduce_window(jnp.zeros(4, jnp.float32), jnp.array(0, jnp.int32), lax.max, (2,), (1,), "VALID")',
    ),
    BadCall(
        id="cotangent-larger",
        violates="a cotangent larger than the pooled values",
        code="""
            pool = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID")
            jax.vjp(pool, jnp.ones((4, 4)))[1](jnp.ones((9, 9)))
        """,
    ),
    BadCall(
        id="cotangent-other-dtype",
        violates="a cotangent of another dtype than the pooled values",
        code="""
            pool = lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (2, 2), "VALID")
            jax.vjp(pool, jnp.ones((4, 4), jnp.float32))[1](jnp.ones((2, 2), jnp.float16))
        """,
    ),
)
