// Express 4, installed beside Express 5. What the tests use of it has the same types.
declare module 'express4' {
  import express from 'express'
  export = express
}
