// Attributes in memory: the application may change what it was given, or has given, and the record stays as a database
// would keep it.

import { jsonCopy } from '../../json-copy.js'
import type { NewUpload, Upload } from '../../upload.js'

/** A record whose attributes are the reader's own. */
export function withOwnAttributes<T extends Upload>(upload: T): T {
  return upload.attributes === undefined ? upload : { ...upload, attributes: attributesOf(upload) }
}

/** A copy of the attributes. @throws TypeError for what JSON can't hold */
export function attributesOf({ attributes }: Pick<NewUpload, 'attributes'>): NewUpload['attributes'] {
  return jsonCopy('attributes', attributes) as NewUpload['attributes']
}
