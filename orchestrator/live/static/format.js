// Numbers and times for people. What is absent is a dash: it never becomes 0.

export const ABSENT = "—";

const fixed = (digits) =>
  new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const moneyFormat = fixed(2);
const wholeFormat = fixed(0);
const tenthFormat = fixed(1);
const quantityFormat = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 6 });
const shortFormat = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

const given = (format) => (value) =>
  value === null || value === undefined ? ABSENT : format(value);
const numeral = (format) => given((value) => format(value).replaceAll("-", "−"));
const signed = (format) => (value) => (value > 0 ? "+" : "") + format(value);

export const money = numeral((value) => moneyFormat.format(value));
export const whole = numeral((value) => wholeFormat.format(value));
export const quantity = numeral((value) => quantityFormat.format(value));
export const percent = numeral((value) => `${moneyFormat.format(value * 100)} %`);
export const gain = numeral(signed((value) => `${moneyFormat.format(value * 100)} %`));
export const moneyGain = numeral(signed((value) => moneyFormat.format(value)));
export const target = numeral(signed((value) => shortFormat.format(value * 100)));
export const short = numeral((value) =>
  value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : shortFormat.format(value),
);
export const microseconds = given((value) =>
  (value < 100 ? tenthFormat : wholeFormat).format(value),
);

// A duration given in microseconds, in the unit that suits it.
export const duration = given((value) => {
  if (value < 1e3) return `${shortFormat.format(value)} µs`;
  return value < 1e6 ? `${shortFormat.format(value / 1e3)} ms` : `${tenthFormat.format(value / 1e6)} s`;
});

export const marketTime = given((ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " "));
export const machineTime = given(
  (ms) => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`,
);

export const age = given((ms) => {
  if (ms < 1e3) return "now";
  if (ms < 60e3) return `${Math.floor(ms / 1e3)} s ago`;
  if (ms < 3600e3) return `${Math.floor(ms / 60e3)} min ago`;
  return ms < 48 * 3600e3 ? `${Math.floor(ms / 3600e3)} h ago` : `${wholeFormat.format(Math.floor(ms / 86400e3))} d ago`;
});

export const word = (code) => code.toLowerCase().replaceAll("_", " ");
