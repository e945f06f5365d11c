// Numbers as people read them.

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB']

/** @param {number} bytes */
export function formatBytes(bytes) {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0
  return `${value.toFixed(digits)}\u00a0${bytes === 1 ? 'byte' : UNITS[unit]}`
}

/** @param {number} seconds */
export function formatSeconds(seconds) {
  if (!Number.isFinite(seconds)) return ''
  const rounded = Math.ceil(seconds)
  if (rounded < 60) return `${rounded}\u00a0s`
  if (rounded < 600) return `${Math.floor(rounded / 60)} min ${rounded % 60} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
