"""The operations that a policy may be made of: arithmetic on tensors, numbers and lists.

What is not here is refused: files (`from_file`, `save`), what prints, generators' seeds and other
state of the process, memory that was not written (`empty`, `resize_`), views that go by bytes
(`as_strided`, `set_`), other processes and threads (`fork`, `rpc`), and every other namespace.
"""

from typing import Final

__all__ = ["ATEN", "BUILTINS", "MAGIC_METHODS", "PRIM", "TYPES"]

_ARITHMETIC: Final = """
    add addcdiv addcmul addmm addmv addbmm baddbmm bmm clamp clamp_max clamp_min clip div divide
    dot einsum floor_divide floordiv fmod inner linear matmul maximum minimum mm mul multiply mv
    neg negative outer pow reciprocal remainder rsqrt rsub sqrt square sub subtract tensordot
    true_divide bilinear cdist cross lerp mathremainder fmax fmin hypot ldexp kron
"""
_ELEMENTWISE: Final = """
    abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
    atan2 atanh ceil cos cosh deg2rad rad2deg degrees radians erf erfc erfinv exp exp2 expm1
    floor frac heaviside isclose isfinite isinf isnan lgamma digamma log log10 log1p log2
    logaddexp logaddexp2 logit nan_to_num positive round sgn sign signbit sin sinc sinh tan tanh
    trunc fix xlogy fabs i0
"""
_ACTIVATIONS: Final = """
    alpha_dropout celu dropout elu feature_alpha_dropout feature_dropout gelu glu hardshrink
    hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_softmax mish prelu relu relu6
    rrelu selu sigmoid silu softmax softplus softshrink threshold
"""
# In place, as layers do to save memory. That no weight is changed is checked on the graph.
_IN_PLACE: Final = """
    relu_ relu6_ rrelu_ elu_ celu_ selu_ leaky_relu_ hardtanh_ hardsigmoid_ hardswish_ silu_
    mish_ sigmoid_ tanh_ threshold_ dropout_ alpha_dropout_ feature_dropout_ clamp_ clamp_min_
    clamp_max_ add_ sub_ mul_ div_ masked_fill_ fill_ zero_ copy_ neg_ exp_ sqrt_ index_put_
    scatter_ scatter_add_
"""
_REDUCTIONS: Final = """
    all amax amin aminmax any argmax argmin argsort count_nonzero cummax cummin cumprod cumsum
    logcumsumexp diff kthvalue logsumexp max mean median min mode msort nanmean nanmedian nansum
    norm frobenius_norm prod quantile nanquantile sort std std_mean sum topk trace var var_mean
    equal dist pairwise_distance cosine_similarity bucketize searchsorted trapezoid
"""
_LAYERS: Final = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d avg_pool1d avg_pool2d avg_pool3d batch_norm conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d _convolution _convolution_mode
    convolution embedding group_norm gru gru_cell instance_norm layer_norm lstm lstm_cell
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices rms_norm
    rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell scaled_dot_product_attention constant_pad_nd
    pad reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d pixel_shuffle
    pixel_unshuffle upsample_nearest1d upsample_nearest2d upsample_linear1d upsample_bilinear2d
    im2col col2im max_pool3d_with_indices adaptive_max_pool3d upsample_nearest3d
    upsample_bicubic2d upsample_trilinear3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d _native_multi_head_attention _transformer_encoder_layer_fwd
    _weight_norm channel_shuffle affine_grid_generator
"""
_ARRANGEMENTS: Final = """
    atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors broadcast_to cat chunk clone
    column_stack concat concatenate contiguous detach diag diag_embed diagflat diagonal dstack
    expand expand_as flatten flip fliplr flipud gather hstack index index_add index_fill
    index_put index_select masked_fill masked_scatter masked_select meshgrid moveaxis movedim
    narrow nonzero numpy_T one_hot permute ravel repeat repeat_interleave reshape reshape_as
    roll rot90 scatter scatter_add scatter_reduce select select_scatter slice slice_scatter
    split split_with_sizes squeeze stack sum_to_size swapaxes swapdims t take take_along_dim
    tensor_split tile transpose tril triu unbind unflatten unfold unsqueeze view view_as vstack
    where T mT type_as to cpu tril_indices triu_indices cartesian_prod combinations vander
"""
_MADE: Final = """
    arange eye full full_like linspace logspace new_full new_ones new_zeros ones ones_like
    scalar_tensor tensor as_tensor zeros zeros_like rand_like randn_like
"""
_COMPARISONS: Final = """
    eq ge greater greater_equal gt isin le less less_equal logical_and logical_not logical_or
    logical_xor lt ne not_equal bitwise_and bitwise_not bitwise_or bitwise_xor is_nonzero
"""
_NUMBERS_AND_LISTS: Final = """
    Bool Float FloatImplicit Int IntImplicit ScalarImplicit append copy dim divmod extend
    factorial format get insert is_complex is_contiguous is_floating_point is_signed item items
    keys len list numel ndimension percentFormat pop remove reverse size sorted str stride
    sym_size values __and__ __contains__ __derive_index __getitem__ __is__ __isnot__ __not__
    __or__ __range_length __round_to_zero_floordiv __xor__ _set_item dict join startswith
    endswith lower upper is_grad_enabled is_scripting element_size promote_types result_type
"""

ATEN: Final = frozenset(
    " ".join(
        (
            _ARITHMETIC,
            _ELEMENTWISE,
            _ACTIVATIONS,
            _IN_PLACE,
            _REDUCTIONS,
            _LAYERS,
            _ARRANGEMENTS,
            _MADE,
            _COMPARISONS,
            _NUMBERS_AND_LISTS,
        )
    ).split()
)
"""Names of allowed operations in torch's own namespace, `torch.NAME` in an archive's code."""

_PRIM: Final = """
    NumToTensor RaiseException TupleIndex TupleUnpack abs device dtype is_cpu is_cuda is_nested
    itemsize layout max min rangelist requires_grad type unchecked_cast unchecked_unwrap_optional
"""
_BUILTINS: Final = "annotate bool float getattr int range str unchecked_cast uninitialized"
_TYPES: Final = """
    Any Device Dict Final Layout List Module NamedTuple NoneType Optional Tensor Tuple Union bool
    complex float int number str
"""

PRIM: Final = frozenset(_PRIM.split())
"""Names of allowed operations of the interpreter, `ops.prim.NAME`."""

BUILTINS: Final = frozenset(_BUILTINS.split())
"""What code may call by a plain name."""

MAGIC_METHODS: Final = frozenset(("__contains__", "__getitem__", "__init__", "__len__"))
"""Methods with such names that a class may have; torch calls others by itself while it loads."""

TYPES: Final = frozenset(_TYPES.split())
"""Names that a type may be made of."""
