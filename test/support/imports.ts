import { dirname, join } from 'node:path'
import ts from 'typescript'
import { readProjectFile } from './tree.ts'

export interface Import {
  readonly from: string
  /** A project path, or a package's or builtin's name. */
  readonly to: string
  readonly typeOnly: boolean
}

/** `import(...)` and `createRequire(...)(...)`. */
const loads = (callee: ts.Expression): boolean => callee.kind === ts.SyntaxKind.ImportKeyword
  || (ts.isCallExpression(callee) && ts.isIdentifier(callee.expression) && callee.expression.text === 'createRequire')

/** Imports and re-exports of a file, dynamic ones with a constant name too. */
export function importsOf(path: string): Import[] {
  const source = ts.createSourceFile(path, readProjectFile(path), ts.ScriptTarget.Latest)
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return
    const to = specifier.text.startsWith('.') ? join(dirname(path), specifier.text) : specifier.text
    found.push({ from: path, to, typeOnly })
  }
  const isTypeOnly = (clause: ts.ImportClause | undefined): boolean => {
    if (clause === undefined || clause.isTypeOnly) return clause !== undefined
    const named = clause.namedBindings
    return clause.name === undefined && named !== undefined && ts.isNamedImports(named) && named.elements.every((element) => element.isTypeOnly)
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node.importClause))
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isCallExpression(node) && loads(node.expression)) add(node.arguments[0], false)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}
