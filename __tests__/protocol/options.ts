// OPTIONS (PROTOCOL.md 4, 5, 13, 14).

import type { Case } from './case.js'
import { create, created, forEach, options, step } from './requests.js'

const described = { status: 204, headers: { 'Tus-Version': /^1\.0\.0(,[0-9.]+)*$/ } }

export const optionsMethod: readonly Case[] = [
  {
    title: 'MUST 13: OPTIONS is answered with Tus-Version',
    steps: [step(options(), described), step(options('/files/'), described)],
  },
  {
    title: 'MUST 13: OPTIONS of an upload is answered too, whether it is there or not',
    steps: [
      step(create(5), created),
      step(options('{upload}'), described),
      step(options('/files/0123456789abcdef'), described),
    ],
  },
  ...forEach(['0.2.2', '', 'nonsense', '1.0.0'], 'MUST 13: OPTIONS ignores Tus-Resumable', (version) => [
    step(options('/files', { 'Tus-Resumable': version }), described),
  ]),
  {
    title: 'MUST 4: Tus-Version and Tus-Extension are lists with commas and nothing between',
    steps: [
      step(options(), {
        status: 204,
        headers: { 'Tus-Version': /^[^\s,]+(,[^\s,]+)*$/, 'Tus-Extension': /^[a-z-]+(,[a-z-]+)*$/ },
      }),
    ],
  },
  ...['creation', 'creation-with-upload', 'creation-defer-length', 'termination'].map((extension) => ({
    title: `MUST 14: OPTIONS advertises ${extension}`,
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': new RegExp(`(^|,)${extension}(,|$)`) } })],
  })),
  {
    title: 'SHOULD 5: Tus-Max-Size is sent where there is a limit',
    options: { maxSize: 1073741824 },
    steps: [step(options(), { status: 204, headers: { 'Tus-Max-Size': '1073741824' } })],
  },
  {
    title: 'SHOULD 5: Tus-Max-Size is not sent where there is no limit',
    steps: [step(options(), { status: 204, headers: { 'Tus-Max-Size': null } })],
  },
  {
    title: 'MUST 5: Tus-Max-Size may be zero',
    options: { maxSize: 0 },
    steps: [step(options(), { status: 204, headers: { 'Tus-Max-Size': '0' } })],
  },
  {
    title: 'SHOULD 13: the answer to OPTIONS is empty',
    steps: [step(options(), { status: 204, headers: { 'Content-Type': null, ETag: null } })],
  },
]
